"""Reading written answers strictly: yes or no, a class label, a number. What can be read in two ways is no answer.

Multiple choice is in ``choices``, transcriptions in ``transcripts``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from coat_ray.evaluation.marking.metrics import normalise

Labels = Mapping[str, Sequence[str]]
"""Class -> the words by which an answer may name it."""

_YES, _NO = {"yes", "yeah", "yep"}, {"no", "nope"}
_LEAD_IN = {"the", "answer", "is", "it", "its", "i", "think", "would", "say", "believe", "well", "so", "my", "probably"}
_NO_REPLY = {"idea", "clue", "answer", "way", "information", "audio", "sound", "problem", "comment"}
"""Words after which a leading "no" answers nothing."""

_DENIALS = {"not", "no", "never", "nor", "neither", "without", "isnt", "wasnt", "doesnt", "hardly", "cannot", "cant"}
_FILLERS = {"a", "an", "the", "so", "very", "really", "particularly", "sound", "sounds", "seem", "be", "is", "it", "of"}
_REJECTIONS = re.compile(r"(?:is|was|would be|seems) (?:wrong|incorrect|not|unlikely)\b|isnt\b|wasnt\b")
_INSTEAD = {"than", "unlike", "except"}
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_NOT_COUNTED = "no one|one of|one another|one by one|at one point|one moment"
_POINTED_AT = "the|this|that|first|second|last|next|which|any|every|some"
_NO_NUMBERS = re.compile(rf"\b(?:{_NOT_COUNTED}|(?:{_POINTED_AT}) one)\b")
_PHRASES = re.compile(r"[;:!?()\[\]*\"\n]+|[.,](?!\d)|(?<!\d)[.,]")
_UNITS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_SPOKEN = {word: value for value, word in enumerate(f"{_UNITS} seventeen eighteen nineteen".split())}
_SPOKEN |= {word: 10 * tens for tens, word in enumerate(_TENS.split(), 2)} | {"hundred": 100, "thousand": 1000}


def parse_yes_no(answer: str) -> str | None:
    """Whether an answer begins with "yes" or "no", an introduction aside, and does not take it back."""
    words = normalise(answer).split()
    said = {"yes" if word in _YES else "no" for word in words if word in _YES | _NO}
    place = next((i for i, word in enumerate(words) if word not in _LEAD_IN), len(words))
    if len(said) != 1 or place == len(words) or words[place] not in _YES | _NO:
        return None
    if words[place] in _NO and words[place + 1 : place + 2] and words[place + 1] in _NO_REPLY:
        return None
    return said.pop()


def parse_label(answer: str, labels: Labels) -> str | None:
    """The one class that an answer asserts; None where it asserts none or several.

    Whole words only, longest form first. "not angry", "rather than angry" and "angry is wrong" assert nothing.
    """
    words = normalise(answer).split()
    asserted = {label for label, start, end in _mentions(words, labels) if not _denied(words, start, end)}
    return asserted.pop() if len(asserted) == 1 else None


def _mentions(words: list[str], labels: Labels) -> Iterator[tuple[str, int, int]]:
    forms = [(normalise(form).split(), label) for label, texts in labels.items() for form in texts]
    taken = [False] * len(words)
    for form, label in sorted(forms, key=lambda pair: -len(pair[0])):
        for start in range(len(words) - len(form) + 1):
            end = start + len(form)
            if words[start:end] == form and not any(taken[start:end]):
                taken[start:end] = [True] * len(form)
                yield label, start, end


def _denied(words: list[str], start: int, end: int) -> bool:
    before = start - 1
    while before >= 0 and words[before] in _FILLERS:
        before -= 1
    if before >= 0 and words[before] in _DENIALS | _INSTEAD:
        return True
    return bool(_REJECTIONS.match(" ".join(words[end:])))


def parse_number(answer: str) -> float | None:
    """The one number that an answer names, in digits or words; None where it names none or several.

    "No one" and "one of them" name none, and neither do an ordinal ("2nd"), a decade, a share ("50%") or a fraction.
    """
    text = _NO_NUMBERS.sub(" ", answer.casefold().replace("\u2212", "-"))
    if normalise(text) in {"none", "nothing"}:
        return 0.0
    found: set[float | None] = {number for phrase in _PHRASES.split(text) for number in _numbers(phrase)}
    return found.pop() if len(found) == 1 else None


def _numbers(phrase: str) -> Iterator[float | None]:
    """Numbers of a phrase in order; None stands for a token with digits that is no plain number."""
    spoken: list[str] = []
    for token in [*phrase.replace(",", "").split(), ""]:
        words = token.split("-") if token[:1].isalpha() else [token]
        if all(word in _SPOKEN for word in words) or (spoken and token == "and"):
            spoken += words
            continue
        yield from _spoken_numbers(spoken)
        spoken = []
        if any(c.isdigit() for c in token):
            yield float(token) if _NUMBER.fullmatch(token) else None


def _spoken_numbers(words: Sequence[str]) -> Iterator[float]:
    """Numbers of consecutive words: one of "one hundred and five", two of "three three"."""
    total = group = last = 0
    started = False
    for value in (_SPOKEN[word] for word in words if word != "and"):
        if started and value in (100, 1000):
            total, group = (total + group * value, 0) if value == 1000 else (total, group * value)
        elif started and 0 < value < _room_after(last):
            group += value
        else:
            if started:
                yield float(total + group)
            total, group, started = 0, value, True
        last = value
    if started:
        yield float(total + group)


def _room_after(last: int) -> int:
    """What may be added after a spoken part must be smaller than this: "hundred" takes up to 99, "twenty" up to 9."""
    return 100 if last >= 100 else 10 if last >= 20 else 0


def short_answer(answer: str) -> str:
    """A short answer without case, punctuation, an article or "it is" in front."""
    return re.sub(r"^(?:(?:the )?answer is |it is |its |this is )?(?:(?:a|an|the) )?(?=\w)", "", normalise(answer))
