"""A worker's log lines: what the steps since the last one came to, how long they took, what they cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from coat_ray.training.throughput import peak_memory, speed
from coat_ray.training.window import StepSums, Window


@dataclass(frozen=True)
class Worker:
    """One worker's place in its group, and where its lines go: every worker reports, worker 0 something."""

    rank: int
    world: int
    device: torch.device
    report: Callable[[dict[str, Any]], None]


class Journal:
    """Collects steps, and makes and reports a line of them."""

    def __init__(self, worker: Worker) -> None:
        self._worker, self._window = worker, Window()
        self._lines: list[dict[str, Any]] = []
        self._since, self._waited = time.perf_counter(), 0.0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count what happens inside as waiting for the next batch."""
        start = time.perf_counter()
        yield
        self._waited += time.perf_counter() - start

    def add(self, step: StepSums) -> None:
        """Add one step."""
        self._window.add(step)

    def write(self, where: Mapping[str, Any], weights: Mapping[str, float]) -> None:
        """Report *where*, then means, speed and memory since the last line. Every worker must call it."""
        means, peaks = self._window.flush(dict(weights)), peak_memory(self._worker.device)
        now = time.perf_counter()
        seconds = now - self._since
        line: dict[str, Any] = {}
        if self._worker.rank == 0:
            waited = {"seconds": seconds, "wait_share": self._waited / max(seconds, 1e-9)}
            line = {**where, **waited, **means, **speed(means, seconds), **peaks}
        self._since, self._waited = now, 0.0
        self._lines.append(line)
        self._worker.report(line)

    def repeat(self, lines: list[dict[str, Any]]) -> None:
        """Report lines that a checkpoint kept, as the driver may have died before it wrote them.

        In one report, because Ray takes one every two seconds.
        """
        if lines:
            self._worker.report({"lines": lines} if self._worker.rank == 0 else {})

    def take_lines(self) -> list[dict[str, Any]]:
        """Lines since the last call, for the next checkpoint."""
        lines, self._lines = self._lines, []
        return lines
