"""From facts to sound: ``render`` is a pure function of the facts."""

from __future__ import annotations

import numpy as np
import soxr
from scipy.signal import lfilter

from coat_ray.corpus.soundworld.events import event
from coat_ray.corpus.soundworld.facts import ClipFacts, SpeechFacts
from coat_ray.corpus.soundworld.instruments import melody
from coat_ray.corpus.soundworld.voices import ESPEAK_RATE, speak

SAMPLE_RATE = 16_000
SHORTEST = 1.2
FLOOR_DB = (-75, -60)
"""Level of the noise floor, drawn per clip."""


_LETTERS = {"a": "[['eI]]"}
"""Letters that eSpeak would read as a word, in its own phoneme notation."""


def render(facts: ClipFacts) -> np.ndarray:
    """Render a clip: float32 mono (n,) at 16 kHz within [-1, 1], 1.2 to 2.7 seconds.

    Raises:
        SpeechUnavailableError: the clip speaks and eSpeak NG is not installed.
    """
    rng = np.random.default_rng(facts.seed)
    lead, tail = rng.uniform(0.05, 0.15, 2)
    layers: list[tuple[float, np.ndarray]] = []
    length = SHORTEST
    if facts.speech:
        spoken = _speech(facts.speech)
        layers.append((lead, spoken))
        length = max(length, lead + len(spoken) / SAMPLE_RATE + tail)
    if facts.melody:
        last = facts.melody.notes[-1]
        length = max(length, last.start + last.seconds + tail)
        layers.append((0.0, melody(facts.melody, length, facts.seed)))
    length = max([length, *(e.start + e.seconds + tail for e in facts.events if e.seconds is not None)])
    for i, sound in enumerate(facts.events):
        signal = event(sound.name, sound.timbre, sound.seconds or length, facts.seed + i)
        layers.append((sound.start, signal * _linear(sound.gain)))
    return _mix(layers, round(length * SAMPLE_RATE), facts.gain, rng)


def _speech(facts: SpeechFacts) -> np.ndarray:
    """The utterance at 16 kHz; vocal effort brightens and saturates it, its lack dulls it."""
    text = " ".join(_LETTERS.get(letter, letter.upper()) for letter in facts.spelled) if facts.spelled else facts.words
    voice = soxr.resample(speak(text, facts.voice.name, facts.prosody), ESPEAK_RATE, SAMPLE_RATE)
    effort = facts.prosody.effort
    tilted = lfilter([1, -0.8 * effort], [1, -0.35 * (1 - effort)], voice)
    drive = 1 + 3 * effort
    shaped = np.tanh(drive * tilted / (np.abs(tilted).max() + 1e-9)) / np.tanh(drive)
    level = 0.1 * facts.prosody.volume / 100
    return (level * shaped / np.sqrt(np.mean(shaped**2))).astype(np.float32)


def _mix(layers: list[tuple[float, np.ndarray]], n: int, gain: float, rng: np.random.Generator) -> np.ndarray:
    mixed = rng.standard_normal(n) * _linear(rng.uniform(*FLOOR_DB))
    for start, signal in layers:
        at = round(start * SAMPLE_RATE)
        piece = signal[: n - at]
        mixed[at : at + len(piece)] += piece
    mixed *= _linear(gain)
    peak = np.abs(mixed).max()
    return (mixed * min(1.0, 0.98 / peak)).astype(np.float32)


def _linear(decibel: float) -> float:
    return float(10 ** (decibel / 20))
