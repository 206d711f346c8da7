"""How much a run of the training benchmarks measures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Effort:
    """Models, rows and steps of each measurement.

    ``students`` and the other model names are those of ``student.SIZES``; the first of ``students`` has the published
    vocabulary. ``epoch_seconds`` is audio in the rows of recorded lengths, ``equal_rows`` the rows in a batch of clips
    that are all 30 s long, ``block_seconds`` the lengths at which the block's cost is measured.
    """

    students: tuple[str, ...]
    epoch_seconds: float
    batch_rows: int
    equal_rows: int
    equal_steps: int
    equal_turns: int
    block_student: str
    block_seconds: tuple[float, ...]
    block_steps: int
    loop_steps: int
    arm_steps: int
    gpu_student: str
    gpu_rows: int
    gpu_steps: int


FULL = Effort(
    students=("small-156032", "small"),
    epoch_seconds=180.0,
    batch_rows=4,
    equal_rows=2,
    equal_steps=3,
    equal_turns=2,
    block_student="small",
    block_seconds=(1.0, 5.0, 10.0, 30.0),
    block_steps=3,
    loop_steps=60,
    arm_steps=120,
    gpu_student="7b",
    gpu_rows=16,
    gpu_steps=10,
)
TINY = Effort(
    students=("tiny",),
    epoch_seconds=24.0,
    batch_rows=2,
    equal_rows=1,
    equal_steps=2,
    equal_turns=1,
    block_student="tiny",
    block_seconds=(1.0, 2.0),
    block_steps=1,
    loop_steps=6,
    arm_steps=4,
    gpu_student="tiny",
    gpu_rows=2,
    gpu_steps=2,
)
EFFORTS = {"full": FULL, "tiny": TINY}


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    device: str
    effort: Effort
