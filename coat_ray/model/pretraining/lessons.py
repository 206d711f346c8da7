"""What the embedded model is taught: SoundWorld's text-aligned questions, never to hear notes, affects or voices.

It reads about everything, though: clips described in words, with every question about them. So it knows what a note or
a mood is and how such questions are answered, as a large language model does, and has yet to hear it. Only the training
split is used, so held-out voices, timbres, phrases and melodies are new to the base as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from coat_ray.corpus.soundworld.facts import ClipFacts, Kind, sample_clip
from coat_ray.corpus.soundworld.instructions import HELD_OUT_FORMS, SHARED_FORMS, sample_instruction
from coat_ray.corpus.soundworld.questions import ask
from coat_ray.corpus.soundworld.render import render
from coat_ray.corpus.soundworld.splits import Split
from coat_ray.corpus.soundworld.vocabulary import SCALE, note_name

SHARES: dict[Kind, float] = {
    "speech": 0.30,
    "name": 0.03,
    "instruction": 0.10,
    "event": 0.12,
    "two_events": 0.12,
    "melody": 0.10,
    "speech_over_event": 0.13,
    "melody_over_event": 0.10,
}
TAUGHT = frozenset(
    {
        "transcript",
        "event",
        "background",
        "first_sound",
        "last_sound",
        "instrument",
        "caption",
        "choose_event",
        "choose_background",
        "choose_instrument",
    }
)
"""Skills the base learns to hear. Captions of speech are left out: they tell the speaker's affect and sex."""
READ_PER_CLIP = 2
"""Questions about a clip's description in words, for each clip."""


@dataclass(frozen=True)
class Example:
    """One conversation: a clip (mono int16 at 16 kHz) or none, the words spoken in it, question and answer."""

    clip: np.ndarray | None
    transcript: str
    skill: str
    question: str
    answer: str

    @property
    def signal(self) -> np.ndarray | None:
        """The clip as float32 in [-1, 1]."""
        return None if self.clip is None else self.clip.astype(np.float32) / 32767


@dataclass(frozen=True)
class Lessons:
    """Training conversations, and every text of the world for the tokenizer."""

    examples: list[Example]
    texts: list[str]


def soundworld_lessons(num_clips: int, num_texts: int, seed: int, workers: int, split: Split = "train") -> Lessons:
    """Render clips of *split* and collect what the base is taught about them; the seed fixes everything."""
    with ProcessPoolExecutor(workers) as pool:
        clips = list(pool.map(partial(_clip_examples, seed, split), range(num_clips), chunksize=50))
    examples = [example for taught, _ in clips for example in taught]
    texts = [text for _, said in clips for text in said]
    written = _written_examples(num_texts, seed, split)
    texts += [text for example in written for text in (example.question, example.answer)]
    texts += [example.question for example in examples if example.clip is None]
    return Lessons(examples + written, texts)


def _clip_examples(seed: int, split: Split, index: int) -> tuple[list[Example], list[str]]:
    rng = np.random.default_rng([seed, index])
    kinds = tuple(SHARES)
    facts = sample_clip(split, kinds[rng.choice(len(kinds), p=list(SHARES.values()))], rng)
    clip = (render(facts) * 32767).astype(np.int16)
    transcript = facts.speech.words if facts.speech else ""
    asked = ask(facts, rng)
    taught = [qa for qa in asked if qa.skill in TAUGHT and not (qa.skill == "caption" and facts.speech)]
    twice: Iterable[str] = ("transcript",)  # hearing words is the hardest thing it learns
    examples = [
        Example(clip, transcript, qa.skill, qa.question, qa.answer)
        for qa in taught
        for _ in range(2 if qa.skill in twice else 1)
    ]
    for i in rng.integers(len(asked), size=READ_PER_CLIP):
        question = f"{in_words(facts)}\n{asked[i].question}"
        examples.append(Example(None, "", f"read_{asked[i].skill}", question, asked[i].answer))
    return examples, [text for qa in asked for text in (qa.question, qa.answer)]


def in_words(facts: ClipFacts) -> str:
    """Everything that a clip's questions are about, as text."""
    parts = [f"{event.name} sound" for event in facts.events]
    if facts.speech:
        said = facts.speech.words
        parts.insert(0, f"{facts.speech.affect} {facts.speech.voice.sex} says {said}")
    if facts.melody:
        middle = SCALE[len(SCALE) // 2]
        heights = ["high" if note.midi >= middle else "low" for note in facts.melody.notes]
        names = [note_name(note.midi) for note in facts.melody.notes]
        notes = " , ".join(map(" ".join, zip(heights, names, strict=True)))
        parts.insert(0, f"{facts.melody.instrument} plays {notes}")
    return " then ".join(parts)


def _written_examples(count: int, seed: int, split: Split) -> list[Example]:
    rng = np.random.default_rng([seed, 2**31])
    forms = (*SHARED_FORMS, *HELD_OUT_FORMS)
    drawn = (sample_instruction(forms[int(rng.integers(len(forms)))], split, rng) for _ in range(count))
    return [Example(None, "", f"text_{i.form}", i.words, i.answer) for i in drawn]
