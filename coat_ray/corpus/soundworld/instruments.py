"""Six instruments as harmonic recipes with an envelope; each timbre id bends its recipe a little.

The first harmonic is never weak, so that the written note is also the heard one.
"""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

import numpy as np

from coat_ray.corpus.soundworld.facts import MelodyFacts, NoteFacts
from coat_ray.corpus.soundworld.vocabulary import frequency

RATE = 16_000
NYQUIST_MARGIN = 7_600


@dataclass(frozen=True)
class Recipe:
    """Harmonic amplitudes; attack and release in seconds; decay per second (0 sustains); vibrato in cents; noise."""

    harmonics: tuple[float, ...]
    attack: float
    release: float
    decay: float = 0.0
    vibrato: float = 0.0
    noise: float = 0.0


RECIPES = {
    "flute": Recipe((1, 0.35, 0.1, 0.03), 0.05, 0.05, vibrato=6, noise=0.04),
    "violin": Recipe((1, 0.75, 0.6, 0.5, 0.4, 0.3, 0.22, 0.15), 0.07, 0.05, vibrato=14, noise=0.02),
    "piano": Recipe((1, 0.5, 0.25, 0.14, 0.08, 0.05), 0.004, 0.04, decay=3.2),
    "organ": Recipe((1, 0.7, 0.05, 0.5, 0.05, 0.05, 0.05, 0.3), 0.015, 0.03),
    "trumpet": Recipe((0.7, 0.9, 1, 0.8, 0.6, 0.45, 0.3, 0.2), 0.03, 0.03, vibrato=4),
    "guitar": Recipe((1, 0.8, 0.1, 0.4, 0.3, 0.06, 0.2, 0.12), 0.002, 0.02, decay=6.5),
}


def melody(facts: MelodyFacts, seconds: float, seed: int) -> np.ndarray:
    """Render a melody: float32 (n,) at 16 kHz, RMS about 0.1 while a note sounds."""
    rng = np.random.default_rng([seed, facts.timbre])
    signal = np.zeros(round(seconds * RATE))
    for note in facts.notes:
        tone = _tone(facts, note, rng)
        at = round(note.start * RATE)
        signal[at : at + len(tone)] += tone[: len(signal) - at]
    return signal.astype(np.float32)


def _tone(facts: MelodyFacts, note: NoteFacts, rng: np.random.Generator) -> np.ndarray:
    recipe = RECIPES[facts.instrument]
    own = np.random.default_rng([crc32(facts.instrument.encode()), facts.timbre])
    bend = own.uniform(0.75, 1.3, len(recipe.harmonics))
    attack, decay = recipe.attack * own.uniform(0.8, 1.25), recipe.decay * own.uniform(0.8, 1.25)
    wave, depth = own.uniform(4.5, 6.5), recipe.vibrato * own.uniform(0.7, 1.3)

    t = np.arange(round(note.seconds * RATE)) / RATE
    cents = facts.detune_cents + depth * np.sin(2 * np.pi * wave * t + rng.uniform(0, 2 * np.pi))
    pitch = frequency(note.midi) * 2 ** (cents / 1200)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    count = min(len(recipe.harmonics), int(NYQUIST_MARGIN / pitch.max()))
    numbers = np.arange(1, count + 1)[:, None]
    weights = (bend * recipe.harmonics)[:count, None] * np.exp(-decay * 0.25 * (numbers - 1) * t)
    tone = (weights * np.sin(numbers * phase)).sum(0) + recipe.noise * rng.standard_normal(len(t))
    tone *= np.exp(-decay * t) * np.minimum(1, np.minimum(t / attack, (note.seconds - t) / recipe.release))
    return 0.1 * tone / np.sqrt(np.mean(tone**2)) * rng.uniform(0.85, 1.15)
