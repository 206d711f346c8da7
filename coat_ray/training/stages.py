"""The plan: which rows make up which global batch, before anything runs.

A pure function of the rows (in manifest order), the mixture, the seed, the batch size and the stages' lengths. It knows
nothing of workers, devices or arms, so every arm and every number of workers sees the same rows in the same step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from coat_ray.config import StageConfig
from coat_ray.corpus.manifest import Row
from coat_ray.corpus.mixture import sample_rows
from coat_ray.provenance import fingerprint

WINDOW_BATCHES = 32
"""Rows are sorted by length inside windows of this many batches: little padding, order still random at large."""

TOKENS_PER_SECOND = 25
CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True)
class Plan:
    """Row numbers of every global batch, stage by stage, as arrays (steps, batch rows).

    Steps are numbered from 0 over all stages.
    """

    row_ids: tuple[str, ...]
    lengths: tuple[int, ...]
    stages: tuple[np.ndarray, ...]

    @property
    def total_steps(self) -> int:
        """Steps over all stages."""
        return sum(len(stage) for stage in self.stages)

    @property
    def fingerprint(self) -> str:
        """Digest over every batch of the plan."""
        return fingerprint([list(self.row_ids), [stage.tolist() for stage in self.stages]])

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

    def shard(self, step: int, rank: int, world: int) -> list[str]:
        """The rows of one global batch that one of *world* workers computes, longest first.

        Rows are dealt by length, to and fro, so that workers get equally many rows (at most one apart) and about
        equally many positions.
        """
        rows = sorted(self._rows(step), key=lambda i: -self.lengths[i])
        return [self.row_ids[row] for turn, row in enumerate(rows) if _dealt_to(turn, world) == rank]

    def _rows(self, step: int) -> list[int]:
        index = self.stage_at(step)
        return self.stages[index][step - sum(len(stage) for stage in self.stages[:index])].tolist()


def make_plan(
    rows: Sequence[Row], stages: Sequence[StageConfig], mixture: Mapping[str, float] | None, seed: int, batch_rows: int
) -> Plan:
    """Lay out all stages.

    Args:
        rows: the training rows, in manifest order.
        stages: their names and weights do not matter here, only their number and lengths.
        mixture: share of each task group (paper: draws are uniform inside a group); None: every row once per epoch.
        seed: fixes every draw.
        batch_rows: rows in a global batch.
    """
    lengths = tuple(row_length(row) for row in rows)
    planned = []
    for index, stage in enumerate(stages):
        rng = np.random.default_rng([seed, index])
        drawn = _draw(rows, mixture, stage.steps * batch_rows, rng)
        planned.append(_bucket(drawn, np.asarray(lengths), batch_rows, rng))
    return Plan(tuple(row.id for row in rows), lengths, tuple(planned))


def row_length(row: Row) -> int:
    """About how many positions a row takes: audio, block and text. Only used to put like with like."""
    text = sum(len(message.content) for message in row.messages)
    return round(2 * TOKENS_PER_SECOND * (row.seconds or 0.0)) + text // CHARACTERS_PER_TOKEN


def _draw(rows: Sequence[Row], mixture: Mapping[str, float] | None, count: int, rng: np.random.Generator) -> np.ndarray:
    """Numbers of *count* rows: by the mixture's shares, or epoch after epoch, each shuffled anew."""
    if mixture is None:
        epochs = -(-count // len(rows))
        return np.concatenate([rng.permutation(len(rows)) for _ in range(epochs)])[:count]
    number = {row.id: i for i, row in enumerate(rows)}
    drawn = sample_rows(rows, dict(mixture), count, seed=int(rng.integers(2**31)))
    return np.array([number[row.id] for row in drawn])


def _bucket(drawn: np.ndarray, lengths: np.ndarray, batch_rows: int, rng: np.random.Generator) -> np.ndarray:
    """Batches (steps, batch_rows): sorted by length inside each window, the window's batches in random order."""
    window, batches = WINDOW_BATCHES * batch_rows, []
    for start in range(0, len(drawn), window):
        part = drawn[start : start + window]
        ordered = part[np.argsort(lengths[part], kind="stable")].reshape(-1, batch_rows)
        batches.append(rng.permutation(ordered, axis=0))
    return np.concatenate(batches).astype(np.int32)


def _dealt_to(turn: int, world: int) -> int:
    """The worker that gets the card of this turn when dealing to and fro."""
    cycle, place = divmod(turn, world)
    return place if cycle % 2 == 0 else world - 1 - place
