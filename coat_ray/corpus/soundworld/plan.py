"""What a SoundWorld corpus consists of: the one table of its sizes, and which questions a clip is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from coat_ray.corpus.soundworld.facts import Kind
from coat_ray.corpus.soundworld.questions import QA
from coat_ray.corpus.soundworld.splits import Split

KindCounts = dict[Kind, int]


@dataclass(frozen=True)
class Sizes:
    """Clips per split and kind, text rows per split, and how clips are written."""

    name: str
    clips: dict[Split, KindCounts]
    text_rows: dict[Split, int]
    codec: Literal["flac", "opus"] = "flac"


TEST: KindCounts = {
    "speech": 30,
    "name": 14,
    "instruction": 104,
    "event": 26,
    "two_events": 24,
    "melody": 56,
    "speech_over_event": 28,
    "melody_over_event": 28,
}
TRAIN: KindCounts = {
    "speech": 110,
    "name": 60,
    "instruction": 110,
    "event": 70,
    "two_events": 50,
    "melody": 180,
    "speech_over_event": 70,
    "melody_over_event": 70,
}


def _scaled(counts: KindCounts, factor: float) -> KindCounts:
    return {kind: max(1, round(factor * count)) for kind, count in counts.items()}


PRESETS: dict[str, Sizes] = {
    "mini": Sizes(
        "mini",
        {"train": TRAIN, "validation": _scaled(TRAIN, 1 / 12), "test": TEST},
        {"train": 240, "validation": 20, "test": 110},
        codec="opus",
    ),
    "tiny": Sizes(
        "tiny",
        {"train": _scaled(TRAIN, 0.02), "validation": _scaled(TRAIN, 0.001), "test": _scaled(TEST, 0.02)},
        {"train": 6, "validation": 2, "test": 4},
    ),
    "full": Sizes(
        "full",
        {"train": _scaled(TRAIN, 8), "validation": _scaled(TRAIN, 1 / 4), "test": _scaled(TEST, 3)},
        {"train": 900, "validation": 60, "test": 150},
    ),
}

SLOTS: dict[Kind, tuple[tuple[str, ...], ...]] = {
    "speech": (("transcript",), ("affect", "sex"), ("caption", "choose_affect")),
    "name": (("spelled_name",), ("transcript", "sex", "affect"), ("choose_affect", "caption")),
    "instruction": (("instruction",), ("transcript", "sex", "transcript", "affect")),
    "event": (("event",), ("caption",), ("choose_event",)),
    "two_events": (("first_sound", "last_sound"), ("caption",)),
    "melody": (
        ("first_note", "last_note", "highest_note"),
        ("all_notes", "direction", "instrument"),
        ("choose_note", "choose_instrument"),
        ("caption",),
    ),
    "speech_over_event": (("transcript",), ("background",), ("affect", "caption", "sex", "choose_affect")),
    "melody_over_event": (
        ("last_note", "highest_note", "first_note"),
        ("background",),
        ("choose_note", "choose_instrument", "choose_background"),
        ("caption",),
    ),
}
"""Per kind of clip one row per slot; clips of a kind take turns through the skills of a slot."""


def choose(kind: Kind, turn: int, asked: Sequence[QA]) -> list[QA]:
    """The rows of the *turn*-th clip of its *kind*, out of everything that can be asked about it."""
    by_skill = {qa.skill: qa for qa in asked}
    chosen: list[QA] = []
    for slot in SLOTS[kind]:
        possible = [skill for skill in slot[turn % len(slot) :] + slot if skill in by_skill]
        chosen.append(by_skill[possible[0]])
    return chosen


def count_by(values: Sequence[str]) -> dict[str, int]:
    """Sorted counts, for cards and tables."""
    return dict(sorted(Counter(values).items()))
