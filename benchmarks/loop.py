"""The training loop: what it adds to the computing, and what a second worker brings. The embedded corpus and model."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from benchmarks.effort import Options
from benchmarks.measure import Line, apart
from benchmarks.sides import one_worker
from coat_ray.config import RunConfig
from coat_ray.corpus.builtin import corpus_folder
from coat_ray.storage import Storage

WARMUP = 4
"""Steps at the beginning that are not counted."""

LOG_EVERY, CHECKPOINT_EVERY = 10, 10
ARM_LOG_EVERY = 40
"""Ray takes one report every two seconds, which must not be what is measured."""


def overhead(folder: Path, options: Options) -> list[Line]:
    """Share of the time outside forward, backward and optimiser, with a line of the log every ten steps."""
    steps = options.effort.loop_steps
    without, waited = apart(timed_loop, folder / "loop", steps, steps)
    saving, _ = apart(timed_loop, folder / "loop-saving", steps, min(CHECKPOINT_EVERY, steps // 2))
    return [
        Line("time outside forward, backward and optimiser", f"{without:.1%}", "≤ 5 %"),
        Line("of it, waiting for batches (the log's wait_share)", f"{waited:.1%}", "-"),
        Line(f"the same with a checkpoint every {CHECKPOINT_EVERY} steps", f"{saving:.1%}", "-"),
    ]


def timed_loop(folder: Path, steps: int, checkpoint_every: int) -> tuple[float, float]:
    """Train as the only worker, CoAT with the reconstruction loss; share outside the engine, and share of waiting.

    Steps after the first few count. The checkpoint after the last step does not: the clock stops at its update.
    """
    from coat_ray.training import loop  # noqa: PLC0415 - only in the process that measures
    from coat_ray.training.engine import Engine  # noqa: PLC0415
    from coat_ray.training.journal import Worker  # noqa: PLC0415
    from coat_ray.training.task import WorkerTask  # noqa: PLC0415

    inside: list[float] = [0.0]
    ends: list[float] = []

    @contextmanager
    def clock() -> Iterator[None]:
        start = time.perf_counter()
        yield
        inside[-1] += time.perf_counter() - start

    class Timed(Engine):
        def forward(self, *arguments: Any, **named: Any) -> Any:
            with clock():
                return super().forward(*arguments, **named)

        def backward(self, *arguments: Any, **named: Any) -> None:
            with clock():
                super().backward(*arguments, **named)

        def step(self) -> float:
            with clock():
                norm = super().step()
            ends.append(time.perf_counter())
            inside.append(0.0)
            return norm

    storage, lines = Storage.default(), list[dict[str, Any]]()
    folder.mkdir(parents=True)
    config = embedded_config(steps, checkpoint_every, {"recon": 1.0})
    manifest = corpus_folder(config.corpus.name, storage) / "train.jsonl"
    task = WorkerTask(config, "coat", "benchmark", folder, manifest, storage.targets)
    with one_worker(), mock.patch.object(loop, "Engine", Timed):
        loop.train(task, Worker(0, 1, torch.device("cpu"), lines.append))
    computed = sum(inside[WARMUP:steps])
    passed = ends[-1] - ends[WARMUP - 1]
    later = [line for line in lines if line["step"] > WARMUP]
    waited = sum(line["wait_share"] * line["seconds"] for line in later) / sum(line["seconds"] for line in later)
    return 1 - computed / passed, waited


def scaling(folder: Path, options: Options) -> list[Line]:
    """Rows a second of two workers over twice those of one, with the same global batch, through Ray Train."""
    steps = options.effort.arm_steps
    one, two = (apart(arm_speed, folder / f"workers-{workers}", workers, steps) for workers in (1, 2))
    what = "efficiency of 2 workers (rows/s ÷ 2 times those of 1), 16 rows a batch"
    return [Line(what, f"{two / one / 2:.2f} ({two:.1f} ÷ 2 · {one:.1f})", "1.00 would be all")]


def arm_speed(folder: Path, workers: int, steps: int) -> float:
    """Median rows a second over the lines of an SFT arm's log, without the first."""
    from coat_ray.cluster import connect  # noqa: PLC0415 - only in the process that measures
    from coat_ray.registry.metrics import read_metrics  # noqa: PLC0415
    from coat_ray.training.run import train_arm  # noqa: PLC0415

    storage = Storage.default()
    config = embedded_config(steps, steps, {}, workers, log_every=ARM_LOG_EVERY)
    corpus = corpus_folder(config.corpus.name, storage)
    with connect():
        result = train_arm(config, "sft", corpus=corpus, storage=Storage(folder), show=lambda _: None)
    lines = read_metrics(result.folder / "metrics.jsonl")
    return statistics.median(line["rows_per_second"] for line in lines[1:])


def embedded_config(
    steps: int, checkpoint_every: int, weights: dict[str, float], workers: int = 1, log_every: int = LOG_EVERY
) -> RunConfig:
    """The embedded model on the embedded corpus with the paper's 16 rows in a batch."""
    return RunConfig.model_validate(
        {
            "name": "benchmark",
            "stages": [{"name": "only", "steps": steps, "weights": weights}],
            "training": {"checkpoint_every": checkpoint_every, "log_every": min(log_every, steps // 2)},
            "resources": {"train_workers": workers},
        }
    )
