"""What is held out: voices, timbres, phrases and melodies each belong to exactly one split.

Held-out clips differ from training clips in who speaks, in how a source sounds and in what is said or played, and
not merely in the draw of random numbers.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

TIMBRES: dict[Split, tuple[int, ...]] = {
    "train": tuple(range(8)),
    "validation": (8, 9),
    "test": (10, 11, 12, 13),
}
"""Timbre ids; every event class and every instrument has one timbre per id."""


@dataclass(frozen=True)
class Voice:
    """An eSpeak NG voice (language + variant) and how its speaker is heard."""

    name: str
    sex: Literal["man", "woman"]


VOICES: dict[Split, tuple[Voice, ...]] = {
    "train": (
        Voice("en-us+m1", "man"),
        Voice("en-gb-x-rp+m3", "man"),
        Voice("en-us+m4", "man"),
        Voice("en-gb-x-rp+m7", "man"),
        Voice("en-us+Gene", "man"),
        Voice("en-us+f1", "woman"),
        Voice("en-gb-x-rp+f2", "woman"),
        Voice("en-us+f4", "woman"),
        Voice("en-gb-x-rp+belinda", "woman"),
        Voice("en-us+steph", "woman"),
    ),
    "validation": (Voice("en-us+Michael", "man"), Voice("en-gb-x-rp+Annie", "woman")),
    "test": (
        Voice("en-us+m2", "man"),
        Voice("en-gb-x-rp+robert", "man"),
        Voice("en-us+f3", "woman"),
        Voice("en-gb-x-rp+f5", "woman"),
    ),
}


def split_of(key: str) -> Split:
    """The only split in which the phrase or melody *key* may occur: 68 % train, 8 % validation, 24 % test."""
    draw = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") % 100
    if draw < 68:
        return "train"
    return "validation" if draw < 76 else "test"
