"""The compatible score: answers marked as lmms-eval 0.7.3 marks them, so that numbers compare with the literature.

Each rule names the task whose behaviour it has. Two departures, neither visible in an average over seeds: where the
harness draws a letter at random, the mark is the chance of drawing the right one, and answers come stripped.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import cache

from whisper_normalizer.basic import BasicTextNormalizer

from coat_ray.evaluation.marking.marks import Mark
from coat_ray.evaluation.marking.rules import Item, Rule
from coat_ray.evaluation.marking.transcripts import english, word_distance

HARNESS = "lmms-eval 0.7.3"

_ENDS = (",", ".", "!", "?", ";", ":", "'")
_LETTERS = ("A", "B", "C", "D")


def spaced_choice(letters: Callable[[Item], Sequence[str]] = lambda _: _LETTERS) -> Rule:
    """As in mmau, air_bench, muchomusic: "(B)", else " B ", else "B."; of several the last one between spaces."""

    def read(item: Item, answer: str) -> str | None:
        text = _padded(answer)
        found: list[str] = []
        for form in ("({})", " {} ", "{}."):
            found = found or [letter for letter in letters(item) if form.format(letter) in text]
        return max(found, key=lambda letter: text.rfind(f" {letter} "), default=None)

    return _choice_rule(read, letters)


def texted_choice(letters: Callable[[Item], Sequence[str]] = lambda item: item.letters) -> Rule:
    """As in mmar and mmsu: "(B)", else "B ", else "B.", else, in more than five words, an option's text."""

    def read(item: Item, answer: str) -> str | None:
        text = _padded(answer)
        for form, place in (("({})", "({})"), ("{} ", " {} "), ("{}.", " {} ")):
            if found := [letter for letter in letters(item) if form.format(letter) in text]:
                return max(found, key=lambda letter: text.rfind(place.format(letter))) if len(found) > 1 else found[0]
        lower = text.lower()
        named = {
            letter: lower.rfind(option.lower()) for letter, option in zip(letters(item), item.options, strict=False)
        }
        if len(text.split()) <= 5 or max(named.values(), default=-1) < 0:
            return None
        return max((letter for letter in named if named[letter] >= 0), key=named.__getitem__)

    return _choice_rule(read, letters)


def _choice_rule(read: Callable[[Item, str], str | None], letters: Callable[[Item], Sequence[str]]) -> Rule:
    def mark(item: Item, answer: str) -> Mark:
        said = read(item, answer)
        if said is None:
            return Mark(1 / len(letters(item)), 1, parsed=False)
        return Mark(said == item.target, 1)

    return Rule("accuracy", mark, read)


def _padded(answer: str) -> str:
    text = answer.strip()
    for sign in _ENDS:
        text = text.strip(sign)
    return f" {text} "


def _plain(text: str) -> str:
    return text.lower().translate(str.maketrans("", "", string.punctuation))


def _mark_exact(item: Item, answer: str) -> Mark:
    return Mark(_plain(answer.strip()) == _plain(item.reference), 1, parsed=bool(answer.strip()))


EXACT = Rule("accuracy", _mark_exact, lambda _, answer: _plain(answer.strip()) or None)
"""As in clotho_aqa: equal without case and ASCII punctuation."""


def first_label(needles: Mapping[str, str]) -> Rule:
    """As in vocalsound: the first class of the list whose needle stands anywhere in the answer."""

    def read(_: Item, answer: str) -> str | None:
        lower = answer.lower()
        return next((label for label, needle in needles.items() if needle.lower() in lower), None)

    def mark(item: Item, answer: str) -> Mark:
        said = read(item, answer)
        return Mark(said == item.target, 1, parsed=said is not None)

    return Rule("accuracy", mark, read)


def _without_marks(text: str) -> str:
    text = re.sub(r"\s+", " ", re.sub(r"<\|.*?\|>", " ", text))
    return re.sub(r" ?([!,.?;:])", r"\1", text).lstrip(" ")


@cache
def _basic() -> BasicTextNormalizer:
    return BasicTextNormalizer()


def _tokens(text: str) -> str:
    """Tokens without those of punctuation alone, as sacrebleu's "none" tokenizer leaves them to the harness."""
    kept = (t for t in text.split(" ") if not all(unicodedata.category(c).startswith("P") for c in t))
    return " ".join(kept).lower()


def _words_rule(*, then_basic: bool) -> Rule:
    def words(text: str) -> str:
        text = english(_without_marks(text))
        return _tokens(str(_basic()(text)) if then_basic else text)

    def mark(item: Item, answer: str) -> Mark:
        errors, total = word_distance(words(item.reference), words(answer.strip()))
        return Mark(errors, total, parsed=bool(answer.strip()))

    return Rule("wer", mark, lambda _, answer: words(answer.strip()) or None)


WORDS = _words_rule(then_basic=True)
"""As in librispeech, common_voice_15 and open_asr: corpus WER after Whisper's English and its basic normaliser."""

WORDS_ENGLISH = _words_rule(then_basic=False)
"""As in gigaspeech: corpus WER after Whisper's English normaliser."""


_TAGS = ("answer", "response", "result", "transcription", "text")
_QUOTED_AFTER = (
    r"(?:the\s+)?original\s+content\s+(?:of\s+)?(?:this\s+)?audio\s+is",
    r"(?:the\s+)?(?:audio|speech)\s+(?:content|transcription|says)",
    r"transcription",
)
_PREFIXES = (
    r"(?:here\s+is\s+)?(?:the\s+)?transcription\s*:\s*",
    r"(?:the\s+)?(?:audio|speech)\s+(?:says|contains)\s*:\s*",
    r"(?:answer|response|result)\s*:\s*",
)
_EXTRACTORS = [
    *(re.compile(rf"<{tag}>\s*([\s\S]*?)\s*</{tag}>", re.IGNORECASE) for tag in _TAGS),
    *(re.compile(rf"{lead}\s*:\s*['\"](.+?)['\"]\s*$", re.IGNORECASE | re.DOTALL) for lead in _QUOTED_AFTER),
    re.compile(r"^['\"](.+?)['\"]$", re.DOTALL),
    re.compile(r"['\"]([^'\"]{20,})['\"]", re.DOTALL),
]


def _extracted(text: str) -> str:
    """What the task voxpopuli takes for the transcription: inside a tag or quotes, or after a known prefix."""
    text = text.strip()
    for pattern in _EXTRACTORS:
        if match := pattern.search(text):
            return match[1].strip()
    for prefix in _PREFIXES:
        text = re.sub(f"^{prefix}", "", text, flags=re.IGNORECASE)
    return text.strip()


def _mark_utterance(item: Item, answer: str) -> Mark:
    errors, total = word_distance(
        " ".join(item.reference.strip().lower().split()), " ".join(_extracted(answer).lower().split())
    )
    return Mark(errors / max(total, 1), 1, parsed=bool(answer.strip()))


UTTERANCE_WORDS = Rule("mean_wer", _mark_utterance, lambda _, answer: _extracted(answer) or None)
"""As in voxpopuli: the mean of each utterance's own WER, lower case and nothing else normalised."""
