"""What probes look for in SoundWorld's clips: pitch, affect and instrument, with the question that asks for each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from coat_ray.audio import load_audio
from coat_ray.corpus.soundworld.facts import ClipFacts
from coat_ray.corpus.soundworld.labels import clip_facts
from coat_ray.corpus.soundworld.splits import Split
from coat_ray.corpus.soundworld.vocabulary import note_name


@dataclass(frozen=True)
class ProbeTarget:
    """One property. ``label`` gives it in the words of the answer, None for a clip that has none."""

    name: str
    question: str
    label: Callable[[ClipFacts], str | None]


def _highest_note(facts: ClipFacts) -> str | None:
    return note_name(max(note.midi for note in facts.melody.notes)) if facts.melody else None


TARGETS = (
    ProbeTarget("pitch", "which note is the highest?", _highest_note),
    ProbeTarget("affect", "how does the speaker feel?", lambda facts: facts.speech.affect if facts.speech else None),
    ProbeTarget("instrument", "which instrument plays?", lambda f: f.melody.instrument if f.melody else None),
)
"""The notes of a melody are equally long and loud and all different, so the highest stands for the dominant one: it is
a property of the whole clip, as a mean over the block is."""


@dataclass(frozen=True)
class LabelledClips:
    """Clips of one split that have the property, mono float32, and its value for each."""

    signals: list[np.ndarray]
    labels: list[str]


def labelled(folder: Path, split: Split, target: ProbeTarget, rate: int, limit: int | None = None) -> LabelledClips:
    """The clips of a split, in the order of their names, at *rate*; the first *limit* of them.

    Raises:
        ManifestError: no SoundWorld corpus; see ``labels.clip_facts``.
        AudioError: a clip that cannot be decoded.
    """
    values = {uri: target.label(facts) for uri, facts in sorted(clip_facts(folder, split).items())}
    found = [(uri, value) for uri, value in values.items() if value is not None][:limit]
    return LabelledClips([load_audio(folder / uri, rate) for uri, _ in found], [value for _, value in found])
