"""Against Hugging Face Trainer + PEFT: losses, time of a step, rows a second and memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from transformers import Qwen2AudioProcessor

from benchmarks.clips import draw_lengths
from benchmarks.effort import Effort, Options
from benchmarks.measure import Line, apart
from benchmarks.sides import Job, Measured, ours, with_trainer
from benchmarks.student import SIZES, make_rows, saved_student
from coat_ray.config import StageConfig
from coat_ray.corpus.manifest import Manifest
from coat_ray.model.backbones.qwen2_audio import Qwen2AudioFrontEnd
from coat_ray.model.block import BlockIds
from coat_ray.training.lengths import row_lengths
from coat_ray.training.stages import BatchSize, make_plan

Pair = tuple[Measured, Measured]
"""Ours, and the Trainer's."""

WINDOW_SECONDS = 30.0
ANSWER_WORDS = (4, 60)
GIB = 2**30


def trainer(folder: Path, options: Options) -> list[Line]:
    """Each model once with rows of one length, where nothing can be saved but logits, and once with recorded ones."""
    lines = []
    for number, name in enumerate(options.effort.students):
        student = saved_student(folder, name)
        lines += _equal(name, _equal_lengths(folder / "equal", student, options.effort))
        pair = _recorded_lengths(folder / "recorded", student, options.effort)
        lines += _recorded(name, pair, published=number == 0)
    return lines


def front_of(student: Path) -> Qwen2AudioFrontEnd:
    """The front end of a saved model without its weights; the block's ids are no real ones."""
    front = Qwen2AudioFrontEnd(Qwen2AudioProcessor.from_pretrained(student))
    front.block_ids = BlockIds(0, 1, 2)
    return front


def _equal_lengths(folder: Path, student: Path, effort: Effort) -> list[Pair]:
    """Clips that fill the tower's window, answers of one length: no padding on either side. The same batches.

    The sides take turns, so that a machine that is slow for a while is slow for both.
    """
    rows = effort.equal_rows
    manifest = make_rows(folder, [WINDOW_SECONDS] * rows * (effort.equal_steps + 1))
    batches = _cut([row.id for row in manifest.rows], rows)
    job = Job(student, folder / "train.jsonl", batches)
    return [(apart(ours, job), apart(with_trainer, job)) for _ in range(effort.equal_turns)]


def _recorded_lengths(folder: Path, student: Path, effort: Effort) -> Pair:
    """One epoch: in the plan's buckets, and in random order. The first batch of each comes twice and counts once."""
    lengths = draw_lengths(effort.epoch_seconds, longest=WINDOW_SECONDS)
    whole = len(lengths) // effort.batch_rows * effort.batch_rows
    manifest = make_rows(folder, lengths[:whole], ANSWER_WORDS)
    names = [row.id for row in manifest.rows]
    orders = _planned(manifest, student, effort.batch_rows), np.random.default_rng(0).permutation(names).tolist()
    jobs = []
    for order in orders:
        batches = _cut(order, effort.batch_rows)
        jobs.append(Job(student, folder / "train.jsonl", (batches[0], *batches)))
    return apart(ours, jobs[0]), apart(with_trainer, jobs[1])


def _planned(manifest: Manifest, student: Path, batch_rows: int) -> list[str]:
    rows = manifest.rows
    stage = StageConfig(name="epoch", steps=len(rows) // batch_rows)
    plan = make_plan(rows, row_lengths(rows, front_of(student)), [stage], BatchSize(batch_rows), seed=0)
    return [name for step in range(plan.total_steps) for name in plan.batch(step)]


def _cut(names: Sequence[str], size: int) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(names[start : start + size]) for start in range(0, len(names), size))


def _equal(name: str, pairs: Sequence[Pair]) -> list[Line]:
    """Losses of the first turn; the fastest step of each side over all turns, as `timeit` takes it."""
    here, there = pairs[0]
    apart_by = max(abs(a - b) for a, b in zip(here.losses, there.losses, strict=True))
    one, other = (min(second for pair in pairs for second in pair[side].seconds) for side in (0, 1))
    steps, rows = len(here.losses), _vocabulary(name)
    return [
        Line(f"loss, largest difference in {steps} steps, {rows}", f"{apart_by:.1e}", "≤ 1e-5"),
        Line(
            f"fastest step of Trainer ÷ ours, clips of 30 s, {rows}",
            f"{other / one:.2f} ({other:.2f} s ÷ {one:.2f} s)",
            "≥ 0.95",
        ),
    ]


def _recorded(name: str, pair: Pair, *, published: bool) -> list[Line]:
    here, there = pair
    one, other = sum(here.seconds), sum(there.seconds)
    above, below = here.peak - here.loaded, there.peak - there.loaded
    rows = _vocabulary(name)
    return [
        Line(f"rows/s ours ÷ Trainer, recorded lengths, {rows}", f"{other / one:.2f}", "≥ 3" if published else "-"),
        Line(
            f"peak memory ours ÷ Trainer above the loaded model, {rows}",
            f"{above / max(below, 1):.2f} ({above / GIB:.2f} ÷ {below / GIB:.2f} GiB)",
            "≤ 0.5" if published else "-",
        ),
        Line(f"peak memory ours ÷ Trainer, absolute, {rows}", f"{here.peak / there.peak:.2f}", "-"),
    ]


def _vocabulary(name: str) -> str:
    return f"vocabulary {SIZES[name].vocabulary:,}"
