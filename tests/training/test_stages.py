"""The plan is a pure function that deals every global batch fairly, whoever computes it."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coat_ray.config import StageConfig
from coat_ray.corpus.manifest import Message, Row
from coat_ray.training.stages import Plan, make_plan

TASKS = ("asr", "music", "text")


def rows(seconds: list[float]) -> list[Row]:
    turns = (Message(role="user", content="what is it?"), Message(role="assistant", content="a bell"))
    return [Row(id=f"r{i}", messages=turns, seconds=s, task=TASKS[i % 3]) for i, s in enumerate(seconds)]


def stages(*steps: int) -> list[StageConfig]:
    return [StageConfig(name=str(i), steps=n) for i, n in enumerate(steps)]


corpora = st.lists(st.floats(0.1, 30), min_size=3, max_size=60).map(rows)
steps = st.lists(st.integers(1, 40), min_size=1, max_size=3)
batch_sizes = st.integers(1, 9)
seeds = st.integers(0, 10)


def drawn(plan: Plan, first: int, count: int) -> Counter[str]:
    return Counter(row for step in range(first, first + count) for row in plan.batch(step))


@given(corpora, steps, batch_sizes, seeds)
def test_every_step_has_a_full_batch_and_belongs_to_its_stage(
    corpus: list[Row], lengths: list[int], size: int, seed: int
) -> None:
    plan = make_plan(corpus, stages(*lengths), None, seed, size)
    assert plan.total_steps == sum(lengths)
    assert [plan.stage_at(step) for step in range(plan.total_steps)] == [
        stage for stage, length in enumerate(lengths) for _ in range(length)
    ]
    assert {len(plan.batch(step)) for step in range(plan.total_steps)} == {size}
    with pytest.raises(IndexError, match=f"ends after {sum(lengths)} steps"):
        plan.stage_at(plan.total_steps)


@given(corpora, steps, batch_sizes, seeds)
def test_without_a_mixture_no_row_comes_twice_more_than_another(
    corpus: list[Row], lengths: list[int], size: int, seed: int
) -> None:
    plan = make_plan(corpus, stages(*lengths), None, seed, size)
    first = 0
    for length in lengths:
        counts = drawn(plan, first, length)
        assert max(counts.values()) - min(counts.get(row.id, 0) for row in corpus) <= 1
        first += length


@given(corpora, st.integers(5, 30), seeds)
def test_a_mixture_gives_each_group_its_share(corpus: list[Row], length: int, seed: int) -> None:
    plan = make_plan(corpus, stages(length), {"asr": 0.5, "text": 0.5}, seed, 4)
    task = {row.id: row.task for row in corpus}
    counts: Counter[str | None] = Counter()
    for row, times in drawn(plan, 0, length).items():
        counts[task[row]] += times
    assert counts == {"asr": 2 * length, "text": 2 * length}


@given(corpora, batch_sizes, seeds)
def test_the_plan_depends_on_its_inputs_and_on_nothing_else(corpus: list[Row], size: int, seed: int) -> None:
    one = make_plan(corpus, stages(9, 5), None, seed, size)
    assert one.fingerprint == make_plan(list(corpus), stages(9, 5), None, seed, size).fingerprint
    renamed = [StageConfig(name="x", steps=9, weights={"recon": 2.0}), StageConfig(name="y", steps=5)]
    assert one.fingerprint == make_plan(corpus, renamed, None, seed, size).fingerprint


def test_another_seed_gives_another_plan_and_stages_differ() -> None:
    corpus = rows([1.0] * 40)
    one, other = (make_plan(corpus, stages(10, 10), None, seed, 4) for seed in (0, 1))
    assert one.fingerprint != other.fingerprint
    assert one.batch(0) != one.batch(10)


@given(corpora, batch_sizes, st.integers(1, 6), seeds)
def test_workers_share_each_batch_without_gap_or_overlap(corpus: list[Row], size: int, world: int, seed: int) -> None:
    plan = make_plan(corpus, stages(5), None, seed, size)
    for step in range(5):
        shards = [plan.shard(step, rank, world) for rank in range(world)]
        assert Counter(row for shard in shards for row in shard) == Counter(plan.batch(step))
        assert max(map(len, shards)) - min(map(len, shards)) <= 1


@given(st.lists(st.floats(0.1, 30), min_size=40, max_size=120).map(rows), st.sampled_from([2, 4]), seeds)
@settings(max_examples=30)
def test_workers_get_about_equally_much_to_do(corpus: list[Row], world: int, seed: int) -> None:
    plan = make_plan(corpus, stages(6), None, seed, 16)
    length = dict(zip(plan.row_ids, plan.lengths, strict=True))
    for step in range(6):
        loads = [sum(length[row] for row in plan.shard(step, rank, world)) for rank in range(world)]
        assert max(loads) - min(loads) <= max(length[row] for row in plan.batch(step))


def test_rows_of_like_length_meet_so_that_little_is_padded() -> None:
    corpus = rows([0.5 + (i * 7919 % 1000) / 40 for i in range(1000)])
    plan = make_plan(corpus, stages(62), None, 0, 16)
    length = dict(zip(plan.row_ids, plan.lengths, strict=True))
    batches = [[length[row] for row in plan.batch(step)] for step in range(62)]
    real = sum(map(sum, batches)) / sum(16 * max(batch) for batch in batches)
    assert real > 0.95
