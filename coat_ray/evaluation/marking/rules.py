"""How one answer is marked against what its question holds: the strict rules.

Strict: nothing is guessed, an answer that cannot be read is wrong and counted, words are compared after Whisper's
English normaliser. The rules of the public harness are in ``harness``.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from coat_ray.corpus.manifest import Row
from coat_ray.evaluation.marking.choices import Options, parse_choice
from coat_ray.evaluation.marking.marks import Mark, Metric
from coat_ray.evaluation.marking.metrics import normalise
from coat_ray.evaluation.marking.parsers import Labels, parse_label, parse_number, parse_yes_no, short_answer
from coat_ray.evaluation.marking.transcripts import english, parse_transcript, word_distance

LETTERS = string.ascii_uppercase


@dataclass(frozen=True)
class Item:
    """What an answer is marked against.

    ``options``: texts of a multiple-choice question, in order; ``target``: the right letter, or the right class.
    """

    reference: str
    options: tuple[str, ...] = ()
    target: str = ""

    @classmethod
    def of(cls, row: Row) -> Item:
        """The item of a row that a benchmark made; other rows have a reference only."""
        meta = row.meta
        return cls(row.answer, tuple(meta.get("options", ())), str(meta.get("target", "")))

    @property
    def letters(self) -> tuple[str, ...]:
        """A, B, … as many as there are options."""
        return tuple(LETTERS[: len(self.options)])


@dataclass(frozen=True)
class Rule:
    """A way of marking, the metric that its marks add up to, and what an answer is read as (None: unreadable)."""

    metric: Metric
    mark: Callable[[Item, str], Mark]
    read: Callable[[Item, str], str | None]


def _accuracy(read: Callable[[Item, str], str | None]) -> Rule:
    def mark(item: Item, answer: str) -> Mark:
        said = read(item, answer)
        return Mark(said == item.target, 1, parsed=said is not None)

    return Rule("accuracy", mark, read)


def _read_choice(item: Item, answer: str) -> str | None:
    letter = parse_choice(answer, options_of(item.options))
    return letter.upper() if letter else None


def options_of(texts: Sequence[str]) -> Options:
    """Options for parsing; a text that is empty or stands twice can be chosen by its letter only."""
    plain = [normalise(text) for text in texts]
    unique = [text if text and plain.count(text) == 1 else f"\0{number}" for number, text in enumerate(plain)]
    return Options({LETTERS[number].lower(): text for number, text in enumerate(unique)})


CHOICE = _accuracy(_read_choice)
"""Multiple choice: the letter, or the option's text."""


def label_rule(labels: Labels) -> Rule:
    """Classification: exactly one class asserted, by any of its names."""
    return _accuracy(lambda _, answer: parse_label(answer, labels))


def _read_closed(item: Item, answer: str) -> str | None:
    reference = normalise(item.reference)
    if reference in {"yes", "no"}:
        return parse_yes_no(answer)
    if (number := parse_number(item.reference)) is not None:
        said = parse_number(answer)
        return None if said is None else reference if said == number else f"{said:g}"
    return short_answer(answer) or None


def _mark_closed(item: Item, answer: str) -> Mark:
    said = _read_closed(item, answer)
    return Mark(said in {normalise(item.reference), short_answer(item.reference)}, 1, parsed=said is not None)


CLOSED = Rule("accuracy", _mark_closed, _read_closed)
"""One word, yes or no, or a number, as the reference is; number words equal digits."""


def _mark_words(item: Item, answer: str) -> Mark:
    said = parse_transcript(answer)
    errors, words = word_distance(english(item.reference), english(said or ""))
    return Mark(errors, words, parsed=said is not None)


WORDS = Rule("wer", _mark_words, lambda _, answer: parse_transcript(answer))
"""Transcription: corpus WER; an answer without words is all deletions."""
