"""SoundWorld clips as examples for the embedded teachers, and what batches of them look like.

Shapes: B batch, N samples, L frames, M mel bins, D width.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import soxr
import torch
import torch.nn.functional as F
from torch import Tensor

from coat_ray.corpus.soundworld import vocabulary
from coat_ray.corpus.soundworld.facts import ClipFacts, Kind, sample_clip
from coat_ray.corpus.soundworld.render import render
from coat_ray.corpus.soundworld.splits import Split
from coat_ray.experts import audioset, waveform

AFFECTS: tuple[str, ...] = vocabulary.AFFECTS
SEXES: tuple[str, ...] = vocabulary.SEXES
LETTERS: tuple[str, ...] = ("blank", "space", *"abcdefghijklmnopqrstuvwxyz")
EVENT_CLASSES: tuple[str, ...] = tuple(name.audioset for name in vocabulary.EVENTS.values())
KINDS: dict[str, tuple[Kind, ...]] = {
    "speech": ("speech", "speech", "name", "instruction", "speech_over_event"),
    "sound": ("event", "two_events", "melody", "melody_over_event", "speech_over_event"),
}
"""Kinds of clip that each training sees, in turn."""
LENGTH_STEP = 1600
"""Clips are filled up with silence to a multiple of 0.1 s, so that batches need no mask."""
SEEDS: dict[Split, int] = {"train": 1, "validation": 2, "test": 3}


@dataclass(frozen=True)
class Example:
    """A clip at 16 kHz and what is true of it; *classes* are AudioSet names."""

    signal: np.ndarray
    text: str
    affect: str
    sex: str
    classes: frozenset[str]


Source = Callable[[Split, str], list[Example]]


def soundworld_examples(seed: int = 0, num_train: int = 2400, num_held_out: int = 300) -> Source:
    """A source of rendered clips, (split, "speech" or "sound") -> examples; each list is made once."""
    made: dict[tuple[Split, str], list[Example]] = {}

    def examples(split: Split, subject: str) -> list[Example]:
        if (split, subject) not in made:
            rng = np.random.default_rng([seed, SEEDS[split]])
            kinds = KINDS[subject]
            number = num_train if split == "train" else num_held_out
            made[split, subject] = [_example(sample_clip(split, kinds[i % len(kinds)], rng)) for i in range(number)]
        return made[split, subject]

    return examples


def _example(facts: ClipFacts) -> Example:
    classes = {vocabulary.EVENTS[event.name].audioset for event in facts.events}
    if facts.melody:
        classes |= {"Music", vocabulary.INSTRUMENTS[facts.melody.instrument].audioset}
    if facts.speech:
        classes |= {"Speech", vocabulary.SPEECH_AUDIOSET[facts.speech.voice.sex]}
    unknown = classes - audioset.CLASSES.keys()
    assert not unknown, f"audioset.CLASSES lacks {unknown}"
    speech = facts.speech
    if speech is None:
        return Example(render(facts), "", "", "", frozenset(classes))
    return Example(render(facts), speech.words, speech.affect, speech.voice.sex, frozenset(classes))


def revoiced(example: Example, rng: np.random.Generator) -> Example:
    """The same clip played a little slower or faster: another throat, for affect must not hang on the few voices."""
    speed = float(rng.uniform(0.85, 1.18))
    signal = soxr.resample(example.signal, waveform.SAMPLE_RATE * speed, waveform.SAMPLE_RATE)
    return replace(example, signal=signal.astype(np.float32))


def letters_of(text: str) -> Tensor:
    """Letter ids of a transcript, (n,)."""
    return torch.tensor([LETTERS.index("space" if letter == " " else letter) for letter in text])


def flat_alignment(signal: np.ndarray, length: int, text: str) -> Tensor:
    """A first guess (L,): letters evenly over the loud part of a signal filled up to *length*, blank in the rest.

    CTC alone stays at "all blank" for a long while; frame labels that are roughly right lead it out.
    """
    wave_N = F.pad(torch.from_numpy(signal), (0, length - len(signal)))
    energy_L = wave_N.unfold(0, waveform.MIN_SAMPLES, 320).square().mean(1)
    loud = torch.nonzero(energy_L > 0.05 * energy_L.mean()).flatten()
    first, last = int(loud[0]), int(loud[-1])
    labels_L = torch.zeros(len(energy_L), dtype=torch.long)
    letters = letters_of(text)
    labels_L[first : last + 1] = letters[torch.arange(last + 1 - first) * len(letters) // (last + 1 - first)]
    return labels_L


def spell(ids: list[int]) -> str:
    """The text of a best path: repeats collapsed, blanks dropped."""
    kept = [i for place, i in enumerate(ids) if i != 0 and (place == 0 or ids[place - 1] != i)]
    return "".join(" " if LETTERS[i] == "space" else LETTERS[i] for i in kept).strip()


def by_length(examples: list[Example]) -> dict[int, list[Example]]:
    """Examples whose signals fill up to the same number of samples."""
    groups: dict[int, list[Example]] = defaultdict(list)
    for example in examples:
        groups[-(-len(example.signal) // LENGTH_STEP) * LENGTH_STEP].append(example)
    return groups


def filled(examples: list[Example], length: int) -> np.ndarray:
    """Signals (B, N), silence after each."""
    return np.stack([np.pad(example.signal, (0, length - len(example.signal))) for example in examples])


def draws(groups: dict[int, list[Example]], size: int, rng: np.random.Generator) -> Iterator[tuple[int, np.ndarray]]:
    """Endless batches as (length, places in its group); every clip once per round, lengths mixed."""
    while True:
        rounds: list[tuple[int, np.ndarray]] = []
        for length, group in groups.items():
            order = rng.permutation(len(group))
            rounds += [(length, order[at : at + size]) for at in range(0, len(order), size)]
        for turn in rng.permutation(len(rounds)):
            yield rounds[turn]
