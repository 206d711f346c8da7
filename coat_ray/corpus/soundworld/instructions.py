"""Instructions and their answers, spoken in clips and written in text rows.

The forms with few members (count to three, spell tom) are shared by all splits when spoken: voices are held out.
The forms with many members (two or three free words) belong to one split each, see ``splits.split_of``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from coat_ray.corpus.soundworld import vocabulary as words
from coat_ray.corpus.soundworld.splits import Split, split_of

Form = Literal["count", "opposite", "spell", "repeat", "opposites", "reverse", "choose", "spell_two"]
SPOKEN_FORMS: tuple[Form, ...] = ("count", "opposite", "spell", "repeat")
SHARED_FORMS: tuple[Form, ...] = ("count", "opposite", "spell")
HELD_OUT_FORMS: tuple[Form, ...] = ("repeat", "opposites", "reverse", "choose", "spell_two")
PLACES = ("first", "second", "last")


@dataclass(frozen=True)
class Instruction:
    """What is asked and what a listener who obeys answers."""

    form: Form
    words: str
    answer: str


def sample_instruction(form: Form, split: Split, rng: np.random.Generator) -> Instruction:
    """Draw an instruction of *form*; those of a held-out form belong to *split*."""
    while True:
        asked, answer = _FORMS[form](rng)
        if form in SHARED_FORMS or split_of(asked) == split:
            return Instruction(form, asked, answer)


def _count(rng: np.random.Generator) -> tuple[str, str]:
    upto = int(rng.integers(2, 7))
    return f"count to {words.NUMBERS[upto - 1]}", " ".join(words.NUMBERS[:upto])


def _opposite(rng: np.random.Generator) -> tuple[str, str]:
    word = _pick(rng, tuple(words.OPPOSITES))
    return f"say the opposite of {word}", words.OPPOSITES[word]


def _opposites(rng: np.random.Generator) -> tuple[str, str]:
    one, two = (str(word) for word in rng.choice(tuple(words.OPPOSITES), 2, replace=False))
    return f"say the opposite of {one} and {two}", f"{words.OPPOSITES[one]} {words.OPPOSITES[two]}"


def _spell(rng: np.random.Generator) -> tuple[str, str]:
    name = _pick(rng, words.NAMES)
    return f"spell {name}", " ".join(name)


def _spell_two(rng: np.random.Generator) -> tuple[str, str]:
    one, two = (str(name) for name in rng.choice(words.NAMES, 2, replace=False))
    return f"spell {one} and {two}", " ".join(one + two)


def _repeat(rng: np.random.Generator) -> tuple[str, str]:
    pair = f"{_pick(rng, words.ADJECTIVES)} {_pick(rng, words.NOUNS)}"
    return f"say {pair} twice", f"{pair} {pair}"


def _reverse(rng: np.random.Generator) -> tuple[str, str]:
    three = _three_words(rng)
    return f"reverse the words {' '.join(three)}", " ".join(reversed(three))


def _choose(rng: np.random.Generator) -> tuple[str, str]:
    three = _three_words(rng)
    place = int(rng.integers(3))
    return f"which word comes {PLACES[place]} in {' '.join(three)}", three[place]


_FORMS: dict[Form, Callable[[np.random.Generator], tuple[str, str]]] = {
    "count": _count,
    "opposite": _opposite,
    "spell": _spell,
    "repeat": _repeat,
    "opposites": _opposites,
    "spell_two": _spell_two,
    "reverse": _reverse,
    "choose": _choose,
}


def _three_words(rng: np.random.Generator) -> list[str]:
    three = [_pick(rng, words.NUMBERS), _pick(rng, words.ADJECTIVES), _pick(rng, words.NOUNS)]
    return [three[int(i)] for i in rng.permutation(3)]


def _pick(rng: np.random.Generator, choices: tuple[str, ...]) -> str:
    return choices[int(rng.integers(len(choices)))]
