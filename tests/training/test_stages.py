"""The plan is a pure function that deals every global batch fairly, whoever computes it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coat_ray.config import StageConfig
from coat_ray.corpus.manifest import Message, Row
from coat_ray.corpus.mixture import MixtureError
from coat_ray.training.stages import BatchSize, Plan, make_plan

TASKS = ("asr", "music", "text")


def rows(seconds: list[float]) -> list[Row]:
    turns = (Message(role="user", content="what is it?"), Message(role="assistant", content="a bell"))
    return [Row(id=f"r{i}", messages=turns, seconds=s, task=TASKS[i % 3]) for i, s in enumerate(seconds)]


def stages(*steps: int) -> list[StageConfig]:
    return [StageConfig(name=str(i), steps=n) for i, n in enumerate(steps)]


def lengths_of(corpus: list[Row]) -> list[int]:
    return [50 * round(row.seconds or 0) + 10 for row in corpus]


def plan_of(corpus: list[Row], lengths: list[StageConfig], size: BatchSize, seed: int = 0, **options: Any) -> Plan:
    return make_plan(corpus, lengths_of(corpus), lengths, size, seed=seed, **options)


corpora = st.lists(st.floats(0.1, 30), min_size=3, max_size=60).map(rows)
steps = st.lists(st.integers(1, 40), min_size=1, max_size=3)
fixed = st.integers(1, 9).map(lambda count: BatchSize(rows=count))
budgets = st.integers(1, 6000).map(lambda count: BatchSize(tokens=count))
seeds = st.integers(0, 10)


def drawn(plan: Plan, first: int, count: int) -> Counter[str]:
    return Counter(row for step in range(first, first + count) for row in plan.batch(step))


def positions(plan: Plan, parts: list[list[str]]) -> tuple[int, int]:
    """Real and computed positions of some parts."""
    length = dict(zip(plan.row_ids, plan.lengths, strict=True))
    sizes = [[length[row] for row in part] for part in parts if part]
    return sum(map(sum, sizes)), sum(len(part) * max(part) for part in sizes)


@given(corpora, steps, fixed | budgets, seeds)
def test_every_step_has_a_batch_and_belongs_to_its_stage(
    corpus: list[Row], lengths: list[int], size: BatchSize, seed: int
) -> None:
    plan = plan_of(corpus, stages(*lengths), size, seed)
    assert plan.total_steps == sum(lengths)
    assert [plan.stage_at(step) for step in range(plan.total_steps)] == [
        stage for stage, length in enumerate(lengths) for _ in range(length)
    ]
    for step in range(plan.total_steps):
        batch = plan.batch(step)
        if size.rows:
            assert len(batch) == size.rows
        else:
            assert len(batch) == 1 or positions(plan, [batch])[1] <= (size.tokens or 0)
    with pytest.raises(IndexError, match=f"ends after {sum(lengths)} steps"):
        plan.stage_at(plan.total_steps)


@given(corpora, steps, fixed, seeds)
def test_without_a_mixture_no_row_comes_twice_more_than_another(
    corpus: list[Row], lengths: list[int], size: BatchSize, seed: int
) -> None:
    plan = plan_of(corpus, stages(*lengths), size, seed)
    first = 0
    for length in lengths:
        counts = drawn(plan, first, length)
        assert max(counts.values()) - min(counts.get(row.id, 0) for row in corpus) <= 1
        first += length


@given(corpora, st.integers(5, 30), seeds)
def test_a_mixture_gives_each_group_its_share(corpus: list[Row], length: int, seed: int) -> None:
    plan = plan_of(corpus, stages(length), BatchSize(rows=4), seed, mixture={"asr": 0.5, "text": 0.5})
    task = {row.id: row.task for row in corpus}
    counts: Counter[str | None] = Counter()
    for row, times in drawn(plan, 0, length).items():
        counts[task[row]] += times
    assert counts == {"asr": 2 * length, "text": 2 * length}


@pytest.mark.parametrize("mixture", [None, {"asr": 0.5, "text": 0.5}])
def test_a_row_comes_no_more_often_than_it_may(mixture: dict[str, float] | None) -> None:
    corpus = rows([1.0] * 30)
    size = BatchSize(rows=5)
    plan = plan_of(corpus, stages(8), size, mixture=mixture, max_repeats=2)
    assert max(drawn(plan, 0, 8).values()) == 2
    with pytest.raises(MixtureError, match=r"at most 2 times|corpus\.max_repeats is 2"):
        plan_of(corpus, stages(13), size, mixture=mixture, max_repeats=2)


def test_hardly_more_rows_are_drawn_than_a_budget_needs() -> None:
    corpus = rows([0.0] * 90)
    plan = plan_of(corpus, stages(10), BatchSize(tokens=95), max_repeats=1)
    assert max(drawn(plan, 0, 10).values()) == 1
    long = [row.model_copy(update={"task": "asr", "id": f"long {row.id}"}) for row in rows([30.0] * 50)]
    mixed = long + [row.model_copy(update={"task": "text"}) for row in corpus]
    plan = plan_of(mixed, stages(20), BatchSize(tokens=2 * 1510), mixture={"asr": 1.0}, max_repeats=1)
    assert max(drawn(plan, 0, 20).values()) == 1


@given(corpora, fixed | budgets, seeds)
def test_the_plan_depends_on_its_inputs_and_on_nothing_else(corpus: list[Row], size: BatchSize, seed: int) -> None:
    one = plan_of(corpus, stages(9, 5), size, seed)
    assert one.fingerprint == plan_of(list(corpus), stages(9, 5), size, seed).fingerprint
    renamed = [StageConfig(name="x", steps=9, weights={"recon": 2.0}), StageConfig(name="y", steps=5)]
    assert one.fingerprint == plan_of(corpus, renamed, size, seed).fingerprint


def test_another_seed_gives_another_plan_and_stages_differ() -> None:
    corpus = rows([1.0] * 40)
    one, other = (plan_of(corpus, stages(10, 10), BatchSize(rows=4), seed) for seed in (0, 1))
    assert one.fingerprint != other.fingerprint
    assert one.batch(0) != one.batch(10)


@given(corpora, fixed | budgets, st.integers(1, 6), st.none() | st.integers(1, 3000), seeds)
def test_workers_share_each_batch_without_gap_or_overlap(
    corpus: list[Row], size: BatchSize, world: int, micro_tokens: int | None, seed: int
) -> None:
    plan = plan_of(corpus, stages(5), size, seed)
    for step in range(5):
        shards = [plan.shard(step, rank, world, micro_tokens) for rank in range(world)]
        counts = [sum(map(len, shard)) for shard in shards]
        assert Counter(row for shard in shards for part in shard for row in part) == Counter(plan.batch(step))
        assert max(counts) - min(counts) <= 1
        assert len({len(shard) for shard in shards}) == 1
        for part in (part for shard in shards for part in shard):
            assert len(part) <= 1 or positions(plan, [part])[1] <= (micro_tokens or 10**9)


@given(st.lists(st.floats(0.1, 30), min_size=40, max_size=120).map(rows), st.sampled_from([2, 4]), seeds)
@settings(max_examples=30)
def test_workers_get_about_equally_much_to_do(corpus: list[Row], world: int, seed: int) -> None:
    plan = plan_of(corpus, stages(6), BatchSize(rows=16), seed)
    length = dict(zip(plan.row_ids, plan.lengths, strict=True))
    for step in range(6):
        loads = [sum(length[row] for row in plan.shard(step, rank, world)[0]) for rank in range(world)]
        assert max(loads) - min(loads) <= max(length[row] for row in plan.batch(step))


@pytest.mark.parametrize("size", [BatchSize(rows=16), BatchSize(tokens=6000)])
@pytest.mark.parametrize("world", [1, 4])
def test_of_clips_as_long_as_real_ones_at_least_95_percent_of_the_positions_are_real(
    size: BatchSize, world: int
) -> None:
    rng = np.random.default_rng(0)
    corpus = rows(np.clip(rng.lognormal(np.log(5.5), 0.78, 4000), 0.5, 30).tolist())  # P90 about 15 s
    plan = plan_of(corpus, stages(62), size)
    parts = [part for step in range(62) for rank in range(world) for part in plan.shard(step, rank, world)]
    real, computed = positions(plan, parts)
    assert real / computed >= 0.95
