"""When a run is given up: not after so many failures, but after so many in a row that brought it no further.

A run on machines that come and go may lose hundreds of workers and still end. A run whose workers die at the same place
every time must not go on for ever.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

WITHOUT_PROGRESS = 6
"""Starts in a row from the same checkpoint after which a run is given up."""


class NoProgressError(RuntimeError):
    """Workers started again and again without reaching a new checkpoint."""


class Attempts:
    """The steps that a run's attempts of one call started from, kept in a file that outlives its workers."""

    def __init__(self, path: Path) -> None:
        self._path, self._error = path, path.with_suffix(".error")

    def forget(self) -> None:
        """Begin anew: somebody started the run by hand."""
        self._path.unlink(missing_ok=True)
        self._error.unlink(missing_ok=True)

    def begin(self, step: int) -> None:
        """Note an attempt that starts from *step*.

        Raises:
            NoProgressError: as many attempts in a row before it started there, and none reached a checkpoint.
        """
        steps = [int(line) for line in self._path.read_text().split()] if self._path.exists() else []
        if steps[-WITHOUT_PROGRESS:] == [step] * WITHOUT_PROGRESS:
            raise NoProgressError(
                f"{WITHOUT_PROGRESS} attempts in a row got no further than the checkpoint of step {step}; "
                f"of the last, a worker said: {self._last_error()}"
            )
        with self._path.open("a") as file:
            file.write(f"{step}\n")
        self._error.unlink(missing_ok=True)

    def failed(self, error: BaseException) -> None:
        """Remember why a worker ended: of an attempt's workers the first, as the others fail because of it."""
        with contextlib.suppress(OSError), self._error.open("x") as file:
            file.write(f"{type(error).__name__}: {error}")

    def _last_error(self) -> str:
        said = self._error.read_text() if self._error.exists() else ""
        return said or "no word, as when the system kills a process (out of memory?)"
