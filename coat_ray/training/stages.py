"""The plan: which rows make up which global batch, before anything runs.

A pure function of the rows (in manifest order), their lengths, the mixture, the seed, the size of a batch and the
stages' lengths. It knows nothing of workers, devices or arms, so every arm and every number of workers sees the same
rows in the same step. Only ``shard`` deals a batch to workers, and cuts what a worker gets into parts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from coat_ray.config import StageConfig
from coat_ray.corpus.manifest import Row
from coat_ray.corpus.mixture import MixtureError, sample_rows
from coat_ray.provenance import fingerprint

WINDOW_BATCHES = 128
"""Rows are sorted by length inside windows of this many batches: little padding, order still random at large."""

Draw = Callable[[int, np.random.Generator], np.ndarray]
"""(how many rows, generator) -> their numbers."""


@dataclass(frozen=True)
class BatchSize:
    """How large a global batch is: so many *rows*, or as many rows as fit into *tokens* positions, padding included.

    A row that is longer than *tokens* makes a batch of its own.
    """

    rows: int | None = None
    tokens: int | None = None


@dataclass(frozen=True)
class Plan:
    """Row numbers of every global batch, stage by stage. Steps are numbered from 0 over all stages."""

    row_ids: tuple[str, ...]
    lengths: tuple[int, ...]
    stages: tuple[tuple[np.ndarray, ...], ...]

    @property
    def total_steps(self) -> int:
        """Steps over all stages."""
        return sum(len(stage) for stage in self.stages)

    @property
    def fingerprint(self) -> str:
        """Digest over every batch of the plan."""
        return fingerprint([list(self.row_ids), [[batch.tolist() for batch in stage] for stage in self.stages]])

    def start_of(self, stage: int) -> int:
        """The first step of a stage."""
        return sum(map(len, self.stages[:stage]))

    def stage_at(self, step: int) -> int:
        """Index of the stage that a global step belongs to."""
        for index, stage in enumerate(self.stages):
            if step < len(stage):
                return index
            step -= len(stage)
        raise IndexError(f"the plan ends after {self.total_steps} steps")

    def batch(self, step: int) -> list[str]:
        """Row ids of one global batch."""
        return [self.row_ids[i] for i in self._rows(step)]

    def shard(self, step: int, rank: int, world: int, micro_tokens: int | None = None) -> list[list[str]]:
        """The rows of one global batch that one of *world* workers computes, longest first, in parts.

        Rows are dealt by length, to and fro, so that workers get equally many rows (at most one apart) and about
        equally many positions. A part holds at most *micro_tokens* positions, padding included, or a single row. Every
        worker has the same number of parts, at least one; some of a worker's may be empty.
        """
        rows = sorted(self._rows(step), key=lambda i: -self.lengths[i])
        hands = [[row for turn, row in enumerate(rows) if _dealt_to(turn, world) == each] for each in range(world)]
        if micro_tokens is None:
            parts = [hands[rank]]
        else:
            cut = [_cut(hand, self.lengths, micro_tokens) for hand in hands]
            parts = cut[rank] + [[]] * (max(map(len, cut)) - len(cut[rank]))
        return [[self.row_ids[row] for row in part] for part in parts]

    def _rows(self, step: int) -> list[int]:
        index = self.stage_at(step)
        return self.stages[index][step - self.start_of(index)].tolist()


def make_plan(
    rows: Sequence[Row],
    lengths: Sequence[int],
    stages: Sequence[StageConfig],
    size: BatchSize,
    *,
    seed: int,
    mixture: Mapping[str, float] | None = None,
    max_repeats: int | None = None,
) -> Plan:
    """Lay out all stages.

    Args:
        rows: the training rows, in manifest order.
        lengths: how many positions each row takes, its block included (see ``lengths.py``).
        stages: their names and weights do not matter here, only their number and lengths.
        size: of a global batch.
        seed: fixes every draw.
        mixture: share of each task group (paper: draws are uniform inside a group); None: every row once per epoch.
        max_repeats: how often a row may come in one stage.

    Raises:
        MixtureError: a mixture that the rows cannot give, or too few rows for *max_repeats*.
    """
    every, planned = np.asarray(lengths), []
    for index, stage in enumerate(stages):
        draw = partial(_draw, rows, mixture, max_repeats)
        planned.append(
            _fixed(draw, every, stage.steps, size.rows, [seed, index])
            if size.rows
            else _budgeted(draw, every, stage.steps, size.tokens or 1, [seed, index])
        )
    return Plan(tuple(row.id for row in rows), tuple(lengths), tuple(planned))


def _fixed(draw: Draw, lengths: np.ndarray, steps: int, size: int, seed: list[int]) -> tuple[np.ndarray, ...]:
    """Batches of *size* rows: sorted by length inside each window, the window's batches in random order."""
    rng = np.random.default_rng(seed)
    drawn, window, batches = draw(steps * size, rng), WINDOW_BATCHES * size, []
    for start in range(0, len(drawn), window):
        part = drawn[start : start + window]
        ordered = part[np.argsort(lengths[part], kind="stable")].reshape(-1, size)
        batches += list(rng.permutation(ordered, axis=0))
    return tuple(batches)


def _budgeted(draw: Draw, lengths: np.ndarray, steps: int, tokens: int, seed: list[int]) -> tuple[np.ndarray, ...]:
    """Batches of at most *tokens* positions, likewise.

    How many rows the steps need is seen from a few, and again from all, so that hardly more are drawn than are used.
    """
    count = min(steps, WINDOW_BATCHES)
    batches = _filled(draw, lengths, count, tokens, seed)
    while len(batches) < steps:
        per_batch = count / len(batches)
        count += math.ceil((steps - len(batches)) * per_batch)
        batches = _filled(draw, lengths, count, tokens, seed)
    return tuple(batches[:steps])


def _filled(draw: Draw, lengths: np.ndarray, count: int, tokens: int, seed: list[int]) -> list[np.ndarray]:
    """*count* rows in batches of at most *tokens* positions."""
    rng, batches = np.random.default_rng(seed), []
    drawn = draw(count, rng)
    window = round(WINDOW_BATCHES * max(1.0, tokens / lengths[drawn].mean()))
    for start in range(0, len(drawn), window):
        part = drawn[start : start + window]
        cut = _cut(part[np.argsort(lengths[part], kind="stable")].tolist(), lengths, tokens)
        batches += [np.array(cut[i], np.int32) for i in rng.permutation(len(cut))]
    return batches


def _draw(
    rows: Sequence[Row],
    mixture: Mapping[str, float] | None,
    max_repeats: int | None,
    count: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Numbers of *count* rows: by the mixture's shares, or epoch after epoch, each shuffled anew."""
    if mixture is None:
        epochs = -(-count // len(rows))
        if max_repeats is not None and epochs > max_repeats:
            raise MixtureError(
                f"a stage goes through its {len(rows)} rows {epochs} times, and corpus.max_repeats is {max_repeats}"
            )
        return np.concatenate([rng.permutation(len(rows)) for _ in range(epochs)])[:count].astype(np.int32)
    number = {row.id: i for i, row in enumerate(rows)}
    drawn = sample_rows(rows, dict(mixture), count, seed=int(rng.integers(2**31)), max_repeats=max_repeats)
    return np.array([number[row.id] for row in drawn], np.int32)


def _cut(rows: Sequence[int], lengths: Sequence[int] | np.ndarray, tokens: int) -> list[list[int]]:
    """Cut rows that are sorted by length into runs of at most *tokens* positions, padding included."""
    runs: list[list[int]] = [[]]
    for row in rows:
        longest = max(lengths[row], lengths[runs[-1][0]] if runs[-1] else 0)
        if runs[-1] and (len(runs[-1]) + 1) * longest > tokens:
            runs.append([])
        runs[-1].append(row)
    return runs


def _dealt_to(turn: int, world: int) -> int:
    """The worker that gets the card of this turn when dealing to and fro."""
    cycle, place = divmod(turn, world)
    return place if cycle % 2 == 0 else world - 1 - place
