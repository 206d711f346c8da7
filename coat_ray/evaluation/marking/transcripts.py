"""Transcriptions: taking the words out of a written answer, and Whisper's English normaliser."""

from __future__ import annotations

import re
from functools import cache

import jiwer
from whisper_normalizer.english import EnglishTextNormalizer

_CONTROL = re.compile(r"<\|[^|>]*\|>")
_LABEL = re.compile(
    r"^\W*(?:(?:sure|okay|ok|certainly|of course)\W+)?(?:(?:here is|here's|this is)\s+)?"
    r"(?:the\s+|a\s+)?(?:(?:recognized|spoken)\s+)?"
    r"(?:transcription|transcript|content|text|audio|speech|speaker|recording|answer)"
    r"(?:\s+(?:of|in|from)\s+(?:the|this)\s+(?:audio|speech|clip|recording))?"
    r"(?:\s+(?:is|says|reads|said|contains))?\s*:\s*",
    re.IGNORECASE,
)
_QUOTES = {'"': '"', "'": "'", "\u201c": "\u201d", "\u2018": "'", "\u00ab": "\u00bb", "`": "`"}
_REFUSAL = re.compile(
    r"^(?=.*\b(?:transcri\w*|audio|as an ai)\b)\W*"
    r"(?:i'?m sorry|sorry|i (?:cannot|can'?t|could not|couldn'?t|am unable|was unable)|unable|as an ai)\b",
    re.IGNORECASE | re.DOTALL,
)


def parse_transcript(answer: str) -> str | None:
    """The words that an answer gives as the transcription; None where it gives none.

    Taken off: control tokens, a label that ends in a colon ("The transcription is:"), quotes and asterisks around the
    whole. Everything else counts as transcribed. A refusal is none, but only one that speaks of audio or transcribing:
    "sorry, I can't hear you" may well have been said.
    """
    text = _CONTROL.sub(" ", answer).replace("\u2019", "'").strip()
    if _REFUSAL.match(text):
        return None
    text = _unwrapped(_LABEL.sub("", _unwrapped(text), count=1))
    return text if any(c.isalnum() for c in text) else None


def english(text: str) -> str:
    """Text as Whisper's English normaliser leaves it: numerals, spelling, contractions and fillers made alike."""
    return str(_english()(text))


def word_distance(reference: str, answer: str) -> tuple[int, int]:
    """(substitutions + deletions + insertions, reference words) of two texts that are normalised already.

    A reference without words (a filler that the normaliser drops) has only insertions.
    """
    if not reference.split():
        return len(answer.split()), 0
    words = jiwer.process_words(reference, answer)
    return words.substitutions + words.deletions + words.insertions, len(words.references[0])


def _unwrapped(text: str) -> str:
    text = text.strip().strip("*").strip()
    while len(text) > 1 and _QUOTES.get(text[0]) == text[-1] and text[0] not in text[1:-1]:
        text = text[1:-1].strip()
    return text


@cache
def _english() -> EnglishTextNormalizer:
    return EnglishTextNormalizer()
