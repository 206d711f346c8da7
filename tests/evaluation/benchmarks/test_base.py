"""Which questions are asked."""

from collections import Counter

from coat_ray.evaluation.benchmarks.base import select_rows


def test_no_limit_asks_everything(rows) -> None:
    assert select_rows(rows, None) == rows


def test_the_limit_holds_for_each_group_and_keeps_the_order(rows) -> None:
    chosen = select_rows(rows, 3)
    assert Counter(row.task for row in chosen) == {"asr": 3, "music": 3, "multiple_choice": 3, "text": 3}
    assert chosen == [row for row in rows if row in chosen]


def test_the_choice_does_not_depend_on_the_manifests_order(rows) -> None:
    assert {row.id for row in select_rows(rows[::-1], 3)} == {row.id for row in select_rows(rows, 3)}


def test_a_larger_limit_only_adds_questions(rows) -> None:
    assert {row.id for row in select_rows(rows, 3)} < {row.id for row in select_rows(rows, 5)}
