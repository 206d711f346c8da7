"""Clips to begin with, each with a question: made by us (``make.py``), of SoundWorld's held-out split."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Example:
    """A clip's file, what it is called on the page, a question about it, and the right answer."""

    file: str
    title: str
    question: str
    answer: str

    @property
    def path(self) -> Path:
        """Where the clip lies."""
        return FOLDER / self.file


def examples() -> list[Example]:
    """All of them, in the order in which they are shown."""
    return [Example(**entry) for entry in json.loads((FOLDER / "examples.json").read_text())]
