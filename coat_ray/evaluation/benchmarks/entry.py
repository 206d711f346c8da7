"""What a public benchmark states: where its data are, what is asked, and how answers are marked.

An entry is data. It also serves as the columns of an import (``corpus.embedded``): a row of the dataset, in the
dataset's own schema, becomes a manifest row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from coat_ray.corpus.manifest import AUDIO_MARK, ManifestError, Message, Row, Task
from coat_ray.evaluation.marking.marks import Mark
from coat_ray.evaluation.marking.rules import LETTERS, Item, Rule

Doc = Mapping[str, Any]
"""One row of the dataset: column -> value."""


NO_REFERENCE = "(no reference)"
"""Stands in a row whose dataset gives no answer; such a row is skipped."""


@dataclass(frozen=True)
class Key:
    """The right answer of one question; see ``Item`` for the options and the target."""

    reference: str
    options: tuple[str, ...] = ()
    target: str = ""


@dataclass(frozen=True)
class Source:
    """Where the data are. ``hub`` is None for what no hub holds; ``obtain`` is one line for who does not have them."""

    split: str
    licence: str
    hub: str | None = None
    config: str | None = None
    obtain: str = ""

    @property
    def how(self) -> str:
        """One line: how to obtain the data."""
        if self.obtain or self.hub is None:
            return self.obtain
        config = f", name={self.config!r}" if self.config else ""
        return f"datasets.load_dataset({self.hub!r}{config}, split={self.split!r}).save_to_disk(FOLDER)"


@dataclass(frozen=True)
class PublicBenchmark:
    """One benchmark.

    Args:
        name: what the command line calls it.
        family: general, air_bench, music, emotion or asr: the paper's groups.
        source: where the data are.
        task: the task group of its rows.
        audio: the column that holds the clip.
        question: a row of the dataset -> what the user asks.
        key: a row of the dataset -> the right answer.
        max_new_tokens: the paper's bound on an answer.
        strict: how answers are marked strictly.
        compatible: how lmms-eval marks them.
        like: whose behaviour *compatible* has, in words.
        judge: name of the judge's prompt where a judge marks; the rules then only say what is empty.
        skill: column by which scores are broken down.
        id: column that names a row.
        labels: classes, where a weighted F1 is reported as well.
    """

    name: str
    family: str
    source: Source
    task: Task
    audio: str
    question: Callable[[Doc], str]
    key: Callable[[Doc], Key]
    max_new_tokens: int
    strict: Rule
    compatible: Rule
    like: str
    judge: str | None = None
    skill: str | None = None
    id: str | None = None
    labels: tuple[str, ...] = ()

    @property
    def licence(self) -> str:
        """Of the data."""
        return self.source.licence

    def row(self, data: Doc, name: str, audio: str) -> Row:
        """The manifest row of *data*, with its clip at *audio*.

        Raises:
            ManifestError: a column that is not there, or a key that names none of the options.
        """
        try:
            key = self.key(data)
            asked = f"{AUDIO_MARK}\n{self.question(data)}"
            meta: dict[str, Any] = {"target": key.target, "options": list(key.options)}
            reference = key.reference if key.reference.strip() else NO_REFERENCE
            if self.skill:
                meta["skill"] = str(data[self.skill])
            return Row(
                id=str(data[self.id]) if self.id and data.get(self.id) not in (None, "") else name,
                messages=(Message(role="user", content=asked), Message(role="assistant", content=reference)),
                audios=(audio,),
                task=self.task,
                dataset=self.name,
                licence=self.licence,
                meta=meta,
            )
        except KeyError as error:
            there = ", ".join(sorted(data))
            raise ManifestError(f"{self.name}, row {name}: no column {error}; there are {there}") from error
        except ValueError as error:
            raise ManifestError(f"{self.name}, row {name}: {error}") from error


def lettered(options: tuple[str, ...], target: str) -> Key:
    """The key of a multiple-choice question.

    Raises:
        ValueError: the target is not the letter of an option.
    """
    if target not in LETTERS[: len(options)] or not target:
        raise ValueError(f"the answer {target!r} names none of the {len(options)} options")
    return Key(f"{target}. {options[LETTERS.index(target)]}", options, target)


def by_text(options: tuple[str, ...], answer: str) -> Key:
    """The key of a multiple-choice question whose dataset states the right option's text."""
    plain = [option.strip().casefold() for option in options]
    if answer.strip().casefold() not in plain:
        raise ValueError(f"the answer {answer!r} is none of the options {list(options)}")
    return lettered(options, LETTERS[plain.index(answer.strip().casefold())])


def text_of(value: Any, names: tuple[str, ...]) -> str:
    """A class as text, where a dataset holds it as text or as its number in *names*."""
    return names[value] if isinstance(value, int) else str(value)


def _empty(_: Item, answer: str) -> Mark:
    return Mark(0, 1, parsed=bool(answer.strip()))


JUDGED = Rule("judged", _empty, lambda _, answer: answer.strip() or None)
"""Marked by a judge; without one nothing is scored."""
