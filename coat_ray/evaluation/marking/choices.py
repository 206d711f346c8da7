"""Reading multiple-choice questions and answers, strictly: what cannot be read as exactly one option is no answer.

An answer counts as option (b) when it starts with or names the letter ("(b) …", "b", "the answer is b"), or when it
says the text of option (b) and of no other. Nothing is guessed: "a dog barks" starts with an article, not a letter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from coat_ray.evaluation.marking.metrics import normalise

_OPTION = re.compile(r"(?:^|(?<=\s))(?:\(([a-z])\)|([a-z])[).:])(?=\s|$)", re.IGNORECASE)
_LEAD_IN = r"(?:(?:so|i|my|the|correct|right|best|final|answer|option|choice|choose|pick|think|it|is|would|be)\W+)*"
_BRACKETED = rf"{_LEAD_IN}[(\[*]+(?P<letter>[a-z])[)\]*]+"
_DELIMITED = rf"{_LEAD_IN}(?P<letter>[a-z])(?=[).:,;](?:\s|$)|\n|\s*$|\s+(?:because|since)\b)"
_MARKED = tuple(re.compile(rf"^{p}(?P<rest>.*)$", re.IGNORECASE | re.DOTALL) for p in (_BRACKETED, _DELIMITED))
_SECOND_LETTER = re.compile(
    r"^\W*(?:(?:or|and|nor|maybe|perhaps)\W+)*\(?(?P<letter>[a-z])(?:\W*$|[).:,;]|\s+(?:or|and)\b)", re.IGNORECASE
)
_REJECTED = re.compile(r"^(?:(?:is|was|would be|can be) (?:not|wrong|incorrect)|isnt|wasnt|cannot|cant|wrong)\b")
_BRACKETED_ANYWHERE = re.compile(r"\(([a-z])\)", re.IGNORECASE)
_DENIALS = {"not", "no", "nor", "never", "neither", "isnt", "wasnt", "doesnt", "cannot", "cant", "except", "without"}
_DENIALS |= {"wrong", "incorrect"}
_REASONS = _DENIALS | {"because", "since", "than", "unlike"}


@dataclass(frozen=True)
class Options:
    """The options of one question: letter -> normalised text, in the order in which they stand."""

    texts: dict[str, str]

    def mentioned(self, answer: str) -> tuple[set[str], set[str]]:
        """(letters whose text stands in the answer, the answer's other words).

        Whole words only, longest text first, so "c sharp" does not also mention "c". A text of a single letter counts
        only as the whole answer: inside a sentence "a" is an article.
        """
        words, found = normalise(answer).split(), set()
        for letter, text in sorted(self.texts.items(), key=lambda item: -len(item[1].split())):
            option = text.split()
            if len(text) == 1 and words != option:
                continue
            for start in range(len(words) - len(option) + 1):
                if words[start : start + len(option)] == option:
                    found.add(letter)
                    words[start : start + len(option)] = [""] * len(option)
        return found, set(words) - {""}


def parse_options(question: str) -> Options:
    """Read "(a) flute (b) violin (c) piano", also "A. flute" or "A) flute".

    Raises:
        ValueError: fewer than two options in the order a, b, …, or options that are empty or equal.
    """
    markers: list[re.Match[str]] = []
    for match in _OPTION.finditer(question):
        if _letter(match) == chr(ord("a") + len(markers)):
            markers.append(match)
    if len(markers) < 2:
        raise ValueError(f"no options (a), (b), … in the question {question!r}")
    ends = [match.start() for match in markers[1:]] + [len(question)]
    texts = {_letter(m): normalise(question[m.end() : end]) for m, end in zip(markers, ends, strict=True)}
    if len(set(texts.values())) != len(texts) or "" in texts.values():
        raise ValueError(f"options that are empty or equal in the question {question!r}")
    return Options(texts)


def parse_choice(answer: str, options: Options) -> str | None:
    """The letter that an answer chooses, or None when it chooses none, several, or contradicts itself."""
    answer = answer.strip()
    said = normalise(answer)
    by_text = next((letter for letter, text in options.texts.items() if text == said), None)
    if by_text and not (len(said) == 1 and said in options.texts):
        return by_text
    for marked in _MARKED:
        if match := marked.match(answer):
            letter = _confirmed(match["letter"].lower(), match["rest"], options)
            bare = answer.lower() == letter
            # In a question about notes a bare "a" may be option (a) or the note a.
            return None if bare and by_text not in {None, letter} else letter
    return _by_mention(answer, options)


def _confirmed(letter: str, rest: str, options: Options) -> str | None:
    """The letter that an answer starts with, unless what follows rejects it or names another option as well."""
    if letter not in options.texts:
        return None
    own, said = options.texts[letter], normalise(rest)
    if said == own:
        return letter
    second = _SECOND_LETTER.match(rest)
    if second and second["letter"].lower() in set(options.texts) - {letter}:
        return None
    if _REJECTED.match(said.removeprefix(own).strip()):
        return None
    mentioned, others = options.mentioned(rest)
    return letter if mentioned <= {letter} or _REASONS & others else None


def _by_mention(answer: str, options: Options) -> str | None:
    """The one option that a sentence names, by "(b)" or by its text, without denying anything."""
    bracketed = {letter.lower() for letter in _BRACKETED_ANYWHERE.findall(answer)}
    mentioned, others = options.mentioned(_BRACKETED_ANYWHERE.sub(" ", answer))
    named = bracketed | mentioned
    if len(named) != 1 or not named <= set(options.texts):
        return None
    (letter,) = named
    denial_is_the_answer = bool(_DENIALS.intersection(options.texts[letter].split()))
    if _DENIALS & others and not denial_is_the_answer:
        return None
    return None if _bare_letter(answer, options) not in {None, letter} else letter


def _bare_letter(answer: str, options: Options) -> str | None:
    """A letter alone in front of other words ("b violin"); not "a", an article, nor the start of an option's text."""
    said = normalise(answer)
    first = said.partition(" ")[0]
    starts_a_text = any(said.startswith(text) for text in options.texts.values() if len(text) > 1)
    return first if first in options.texts and first != "a" and not starts_a_text else None


def _letter(match: re.Match[str]) -> str:
    return (match[1] or match[2]).lower()
