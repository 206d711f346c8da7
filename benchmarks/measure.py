"""What every benchmark needs: a table of figures, processes of their own, and their memory."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psutil
from rich.console import Console
from rich.table import Table

KIB = 1024
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Line:
    """One row of the table."""

    what: str
    value: str
    wanted: str


def show(
    title: str, names: Iterable[str], measurements: Mapping[str, Callable[..., Iterable[Line]]], *arguments: Any
) -> None:
    """Run measurements (folder, *arguments) in a folder that goes away; print each line as it comes, then a table."""
    console, table = Console(), Table("measurement", "figure", "wanted", title=title)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["COAT_HOME"] = str(Path(folder) / "home")
        for name in names:
            for line in measurements[name](Path(folder), *arguments):
                console.print(f"{line.what}: {line.value}", highlight=False)
                table.add_row(line.what, line.value, line.wanted)
    console.print(table)


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call in a process of its own, so that threads, caches and memory of one measurement end with it."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


class PeakMemory:
    """Highest sum of proportional set sizes of this process and its children, looked at twice a second."""

    def __enter__(self) -> Self:
        self.peak, self._stop = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.5):
            total = 0
            for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
                try:
                    total += process.memory_full_info().pss
                except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                    continue
            self.peak = max(self.peak, total)


def forget_peak() -> int:
    """Let the kernel's high-water mark of this process begin anew; gives the resident bytes of now (Linux)."""
    CLEAR.write_text("5")
    return _resident("VmRSS")


def peak_resident() -> int:
    """Most resident bytes since ``forget_peak``; no sampling, so that no short peak is missed (Linux)."""
    return _resident("VmHWM")


def _resident(key: str) -> int:
    return int(STATUS.read_text().split(f"{key}:")[1].split()[0]) * KIB
