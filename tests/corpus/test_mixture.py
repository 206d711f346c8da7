"""A mixture keeps its shares to one row, repeats evenly, and is a pure function of its arguments."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coat_ray.corpus.manifest import Row
from coat_ray.corpus.mixture import MixtureError, sample_rows

SIZES = {"asr": 40, "music": 10, "caption": 5}


def row(name: str, task: str | None) -> Row:
    turns = [{"role": "user", "content": "hm?"}, {"role": "assistant", "content": "yes"}]
    return Row.model_validate({"id": name, "messages": turns, "task": task})


ROWS = [row(f"{task}-{i}", task) for task, size in SIZES.items() for i in range(size)] + [row("untold", None)]


def tasks(rows: list[Row]) -> dict[str | None, int]:
    return dict(Counter(row.task for row in rows))


@given(
    st.dictionaries(st.sampled_from(sorted(SIZES)), st.floats(0.05, 5), min_size=1),
    st.integers(0, 200),
    st.integers(0, 2**31),
)
def test_shares_hold_to_one_row_and_rows_repeat_evenly(shares: dict[str, float], count: int, seed: int) -> None:
    drawn = sample_rows(ROWS, shares, count, seed)
    assert len(drawn) == count
    total = sum(shares.values())
    for task, share in shares.items():
        of_task = [row.id for row in drawn if row.task == task]
        assert abs(len(of_task) - count * share / total) < 1
        times = Counter(of_task)
        if of_task:
            fewest = 0 if len(times) < SIZES[task] else min(times.values())
            assert max(times.values()) - fewest <= 1
    assert drawn == sample_rows(ROWS, shares, count, seed)


def test_without_shares_every_row_comes_once_before_any_comes_twice() -> None:
    drawn = sample_rows(ROWS, None, len(ROWS), seed=3)
    assert sorted(row.id for row in drawn) == sorted(row.id for row in ROWS)
    assert drawn != ROWS
    assert max(Counter(row.id for row in sample_rows(ROWS, None, 2 * len(ROWS), seed=3)).values()) == 2


def test_the_seed_changes_rows_and_order() -> None:
    shares = {"asr": 1.0, "music": 1.0}
    assert sample_rows(ROWS, shares, 20, seed=1) != sample_rows(ROWS, shares, 20, seed=2)


def test_tasks_are_mixed_and_not_in_blocks() -> None:
    drawn = sample_rows(ROWS, {"asr": 1.0, "music": 1.0}, 20, seed=1)
    assert tasks(drawn) == {"asr": 10, "music": 10}
    assert len({row.task for row in drawn[:10]}) == 2


def test_repeats_can_be_bounded() -> None:
    assert tasks(sample_rows(ROWS, {"caption": 1}, 10, 0, max_repeats=2)) == {"caption": 10}
    with pytest.raises(MixtureError, match=r"11 rows of 'caption' are wanted.*give 10"):
        sample_rows(ROWS, {"caption": 1}, 11, 0, max_repeats=2)


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"captoin": 1.0}, "did you mean 'caption'"),
        ({"asr": 0.0}, "must be a positive number"),
        ({"asr": -1.0}, "must be a positive number"),
        ({"asr": float("nan")}, "must be a positive number"),
        ({}, "names no task"),
    ],
)
def test_impossible_shares_are_refused(shares: dict[str, float], message: str) -> None:
    with pytest.raises(MixtureError, match=message):
        sample_rows(ROWS, shares, 10, 0)


def test_no_rows_give_no_mixture() -> None:
    with pytest.raises(MixtureError, match="no rows"):
        sample_rows([], None, 10, 0)
