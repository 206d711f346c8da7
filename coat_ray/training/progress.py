"""Metrics on their way from the workers to ``metrics.jsonl`` (in the controller) and to a person (in the driver)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray.train

from coat_ray.registry.metrics import append_metrics, expert_terms, read_metrics, rewind_metrics
from coat_ray.training.stop_note import STOP_NOTE, StopNote
from coat_ray.training.tracking import Sink

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5
MIB_IN_GIB = 1024
WORTH_SAYING = 0.05
"""Share of the time spent waiting for batches from which on a person is told."""


class MetricsWriter(ray.train.UserCallback):
    """The only writer of a run's metrics. Steps that a resumed run repeats replace their first report.

    ``open_sinks`` opens what else takes them, in the controller. A sink that fails costs a warning, never a run.
    """

    def __init__(self, path: Path, open_sinks: Callable[[], list[Sink]] = list) -> None:
        self.path, self.open_sinks = path, open_sinks
        self._last: int | None = None
        self._sinks: list[Sink] | None = None

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any) -> None:  # noqa: ARG002
        """Append worker 0's line, or its lines where it repeats some."""
        report = next((part for part in metrics if part), {})
        try:
            for line in report.get("lines", [report] if report else []):
                self._write(line)
        except OSError as error:
            StopNote(self.path.with_name(STOP_NOTE)).write(f"the log cannot be written: {error}")
            raise

    def _write(self, line: dict[str, Any]) -> None:
        if self._last is None:
            self._last = max((row["step"] for row in read_metrics(self.path)), default=0)
        if line["step"] <= self._last:
            rewind_metrics(self.path, line["step"] - int(line["steps"]))
        append_metrics(self.path, line)
        self._last = line["step"]
        self._copy(line)

    def _copy(self, line: dict[str, Any]) -> None:
        """Give sinks the line, and on first use everything that is there."""
        try:
            if self._sinks is None:
                self._sinks = self.open_sinks()
                rows = read_metrics(self.path)
            else:
                rows = [line]
            for sink in self._sinks:
                sink.write(rows)
        except Exception as error:  # noqa: BLE001 - whatever a server or a disk may do
            self._sinks = []
            logger.warning("tracking stops, training goes on (metrics are in %s): %s", self.path, error)


@contextmanager
def shown_progress(path: Path, label: str, total_steps: int, show: Callable[[str], None]) -> Iterator[None]:
    """Show a line for each line that is added to a run's metrics while the block runs."""
    ended = threading.Event()
    seen = max((row["step"] for row in read_metrics(path)), default=0)

    def follow() -> None:
        nonlocal seen
        while True:
            last_look = ended.wait(POLL_SECONDS)
            for row in read_metrics(path):
                if row["step"] > seen:
                    seen = row["step"]
                    show(progress_line(row, label, total_steps))
            if last_look:
                return

    thread = threading.Thread(target=follow, daemon=True, name="progress")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def progress_line(row: dict[str, Any], label: str, total_steps: int) -> str:
    """One line of metrics for a person: where training stands, each loss, speed, memory, time to go."""
    per_step = row["seconds"] / max(1, row["steps"])
    left = round(per_step * (total_steps - row["step"]))
    terms = "  ".join(f"{key} {row[key]:.3f}" for key in expert_terms(row))
    return (
        f"{label} {row['stage']}  step {row['step']}/{total_steps}  loss {row['loss']:.3f}  ce {row['ce']:.3f}  "
        f"right tokens {row['token_accuracy']:.0%}  {terms + '  ' if terms else ''}"
        f"{_machine(row)}  {left // 60}:{left % 60:02d} left"
    )


def _machine(row: dict[str, Any]) -> str:
    gpu = f" + {row['peak_gpu_mib'] / MIB_IN_GIB:.1f} on the GPU" if "peak_gpu_mib" in row else ""
    waited = f"waiting {row['wait_share']:.0%}  " if row.get("wait_share", 0.0) > WORTH_SAYING else ""
    left_out = f"{len(row['left_out'])} PARTS LEFT OUT (loss not finite)  " if "left_out" in row else ""
    return (
        f"{left_out}{row['rows_per_second']:.1f} rows/s  {row['real_token_share']:.0%} real tokens  "
        f"{waited}{row['audio_hours_per_hour']:.1f} h audio/h  {row['peak_rss_mib'] / MIB_IN_GIB:.1f} GiB{gpu}"
    )
