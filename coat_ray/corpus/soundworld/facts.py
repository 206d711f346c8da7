"""Everything that is true of a clip, drawn before a sample of it exists.

``sample_clip`` draws facts, ``render.render`` makes the signal from them alone, ``questions.ask`` asks about them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from coat_ray.corpus.soundworld import vocabulary as words
from coat_ray.corpus.soundworld.instructions import SPOKEN_FORMS, Instruction, sample_instruction
from coat_ray.corpus.soundworld.splits import TIMBRES, VOICES, Split, Voice, split_of

Kind = Literal[
    "speech", "name", "instruction", "event", "two_events", "melody", "speech_over_event", "melody_over_event"
]
Affect = Literal["angry", "happy", "sad", "calm"]


@dataclass(frozen=True)
class Prosody:
    """eSpeak NG settings (words per minute; pitch and range 0..99; volume 0..200) and vocal effort (0..1)."""

    rate: int
    pitch: int
    range: int
    volume: int
    effort: float


@dataclass(frozen=True)
class SpeechFacts:
    """Who says what, and how. *words* is the transcript; a spelled name reads "t o m"."""

    words: str
    voice: Voice
    affect: Affect
    prosody: Prosody
    spelled: str | None = None
    instruction: Instruction | None = None


@dataclass(frozen=True)
class EventFacts:
    """A sound event; *seconds* None lasts as long as the clip. *gain* is in dB."""

    name: str
    timbre: int
    start: float
    seconds: float | None
    gain: float = 0.0


@dataclass(frozen=True)
class NoteFacts:
    """One note: MIDI number, onset and length in seconds."""

    midi: int
    start: float
    seconds: float


@dataclass(frozen=True)
class MelodyFacts:
    """Two to four notes on one instrument, all off by the same few cents."""

    instrument: str
    timbre: int
    notes: tuple[NoteFacts, ...]
    detune_cents: float

    @property
    def key(self) -> str:
        """The note sequence; decides the split."""
        return " ".join(str(note.midi) for note in self.notes)


@dataclass(frozen=True)
class ClipFacts:
    """A clip: what sounds in it, and the seed of its noise. *gain* (dB) scales the whole clip."""

    kind: Kind
    split: Split
    seed: int
    gain: float
    speech: SpeechFacts | None = None
    melody: MelodyFacts | None = None
    events: tuple[EventFacts, ...] = ()


Range = tuple[float, float]
PROSODY: dict[Affect, tuple[Range, Range, Range, Range, Range]] = {
    "angry": ((190, 225), (35, 55), (65, 95), (135, 170), (0.7, 1.0)),
    "happy": ((170, 200), (62, 85), (75, 99), (100, 130), (0.2, 0.4)),
    "sad": ((120, 142), (22, 42), (8, 30), (50, 75), (0.0, 0.0)),
    "calm": ((142, 168), (40, 58), (35, 55), (80, 105), (0.0, 0.15)),
}
"""Ranges of rate, pitch, range, volume and effort; neighbours touch or overlap a little."""


def sample_clip(split: Split, kind: Kind, rng: np.random.Generator) -> ClipFacts:
    """Draw the facts of one clip of *kind*, using only voices, timbres, phrases and melodies of *split*."""
    speech, melody, events = _PARTS[kind](split, rng)
    return ClipFacts(
        kind=kind,
        split=split,
        seed=int(rng.integers(2**31)),
        gain=float(rng.uniform(-6, 0)),
        speech=speech,
        melody=melody,
        events=events,
    )


def sample_phrase(split: Split, rng: np.random.Generator) -> str:
    """Draw a phrase of three to five words that belongs to *split*."""
    while True:
        if rng.random() < 0.5:
            parts = ["the", _pick(rng, words.ADJECTIVES), _pick(rng, words.NOUNS), _pick(rng, words.VERBS)]
            if rng.random() < 0.5:
                parts.append(_pick(rng, words.ADVERBS))
        else:
            parts = [_pick(rng, words.NUMBERS), _pick(rng, words.PLURAL_NOUNS), _pick(rng, words.PLURAL_VERBS)]
            if rng.random() < 0.7:
                parts.insert(1, _pick(rng, words.ADJECTIVES))
        phrase = " ".join(parts)
        if split_of(phrase) == split:
            return phrase


def sample_melody(split: Split, rng: np.random.Generator) -> MelodyFacts:
    """Draw a melody of *split*: half of them rise or fall throughout, no note is repeated at once."""
    instrument = _pick(rng, tuple(words.INSTRUMENTS))
    timbre = _timbre(split, rng)
    detune = float(rng.uniform(-8, 8))
    while True:
        midi = rng.choice(words.SCALE, int(rng.integers(2, 5)), replace=False)
        if rng.random() < 0.5:
            midi = np.sort(midi)[:: int(rng.choice((-1, 1)))]
        seconds = float(rng.uniform(1.3, 2.2)) / len(midi)
        notes = tuple(NoteFacts(int(m), 0.08 + i * seconds, 0.94 * seconds) for i, m in enumerate(midi))
        melody = MelodyFacts(instrument, timbre, notes, detune)
        if split_of(melody.key) == split:
            return melody


def _speech(split: Split, rng: np.random.Generator, said: str, **more: object) -> SpeechFacts:
    affect = _pick(rng, words.AFFECTS)
    rate, pitch, span, volume, effort = (float(rng.uniform(*bounds)) for bounds in PROSODY[affect])  # type: ignore[index]
    voice = VOICES[split][int(rng.integers(len(VOICES[split])))]
    prosody = Prosody(round(rate), round(pitch), round(span), round(volume), round(effort, 3))
    return SpeechFacts(said, voice, affect, prosody, **more)  # type: ignore[arg-type]


def _event(split: Split, rng: np.random.Generator, name: str, start: float, seconds: float | None) -> EventFacts:
    return EventFacts(name, _timbre(split, rng), start, seconds)


def _background(split: Split, rng: np.random.Generator) -> EventFacts:
    return EventFacts(_event_name(rng), _timbre(split, rng), 0.0, None, float(rng.uniform(-15, -9)))


Parts = tuple[SpeechFacts | None, MelodyFacts | None, tuple[EventFacts, ...]]


def _phrase_parts(split: Split, rng: np.random.Generator) -> Parts:
    return _speech(split, rng, sample_phrase(split, rng)), None, ()


def _name_parts(split: Split, rng: np.random.Generator) -> Parts:
    name = _pick(rng, words.NAMES)
    return _speech(split, rng, " ".join(name), spelled=name), None, ()


def _instruction_parts(split: Split, rng: np.random.Generator) -> Parts:
    form = SPOKEN_FORMS[int(rng.integers(len(SPOKEN_FORMS)))]
    instruction = sample_instruction(form, split, rng)
    return _speech(split, rng, instruction.words, instruction=instruction), None, ()


def _event_parts(split: Split, rng: np.random.Generator) -> Parts:
    return None, None, (_event(split, rng, _event_name(rng), 0.05, float(rng.uniform(1.2, 2.2))),)


def _two_event_parts(split: Split, rng: np.random.Generator) -> Parts:
    first, second = (str(name) for name in rng.choice(tuple(words.EVENTS), 2, replace=False))
    lengths = rng.uniform(0.85, 1.1, 2)
    later = 0.05 + float(lengths[0]) + 0.1
    return (
        None,
        None,
        (
            _event(split, rng, first, 0.05, float(lengths[0])),
            _event(split, rng, second, later, float(lengths[1])),
        ),
    )


def _melody_parts(split: Split, rng: np.random.Generator) -> Parts:
    return None, sample_melody(split, rng), ()


def _speech_over_event_parts(split: Split, rng: np.random.Generator) -> Parts:
    return _speech(split, rng, sample_phrase(split, rng)), None, (_background(split, rng),)


def _melody_over_event_parts(split: Split, rng: np.random.Generator) -> Parts:
    return None, sample_melody(split, rng), (_background(split, rng),)


_PARTS: dict[Kind, Callable[[Split, np.random.Generator], Parts]] = {
    "speech": _phrase_parts,
    "name": _name_parts,
    "instruction": _instruction_parts,
    "event": _event_parts,
    "two_events": _two_event_parts,
    "melody": _melody_parts,
    "speech_over_event": _speech_over_event_parts,
    "melody_over_event": _melody_over_event_parts,
}
KINDS: tuple[Kind, ...] = tuple(_PARTS)


def _timbre(split: Split, rng: np.random.Generator) -> int:
    return int(rng.choice(TIMBRES[split]))


def _event_name(rng: np.random.Generator) -> str:
    return _pick(rng, tuple(words.EVENTS))


def _pick(rng: np.random.Generator, choices: tuple[str, ...]) -> str:
    return choices[int(rng.integers(len(choices)))]
