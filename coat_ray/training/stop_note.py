"""How a worker tells the driver why training cannot go on, even when the disk is full."""

from __future__ import annotations

import os
from pathlib import Path

ROOM = 4096
STOP_NOTE = "stopped.txt"


class StopNote:
    """A note that a worker leaves when it meets an error that would come again.

    Room for it is taken when training starts, so that it can still be written when there is none left.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._reserve = path, path.with_name(f".{path.name}.reserve")

    def prepare(self) -> None:
        """Take an older note away and take room for the next one."""
        self._path.unlink(missing_ok=True)
        self._reserve.parent.mkdir(parents=True, exist_ok=True)
        with self._reserve.open("wb") as file:
            file.write(b" " * ROOM)
            file.flush()
            os.fsync(file.fileno())

    def write(self, text: str) -> None:
        """Leave a note; of several workers' the last one stays. Without preparation it needs room of its own."""
        self._reserve.touch()
        with self._reserve.open("r+b") as file:
            file.write(text.encode()[:ROOM])
            file.truncate()
        self._reserve.replace(self._path)

    def read(self) -> str | None:
        """What was left, None without a note."""
        return self._path.read_text(errors="replace") if self._path.exists() else None
