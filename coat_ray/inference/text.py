"""From tokens to text that can be shown at once: no half characters, and nothing of a stop string."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

UNFINISHED = "\N{REPLACEMENT CHARACTER}"
"""What a tokenizer makes of bytes that are no whole character (yet)."""


class TokenText:
    """Text of a growing list of tokens, given out in pieces of whole characters.

    Only the tokens since the last piece are decoded again, with those of the piece before them for context.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._context, self._shown = 0, 0

    def push(self, token: int) -> str:
        """What can be shown more with this token; empty while a character is unfinished."""
        self._ids.append(token)
        before, now = self._decode(self._shown), self._decode(len(self._ids))
        if now.endswith(UNFINISHED) or len(now) <= len(before):
            return ""
        self._context, self._shown = self._shown, len(self._ids)
        return now[len(before) :]

    def finish(self) -> str:
        """What is left at the end, without a character that never became whole."""
        left = self._decode(len(self._ids))[len(self._decode(self._shown)) :]
        self._shown = len(self._ids)
        return left.rstrip(UNFINISHED)

    def _decode(self, end: int) -> str:
        return self._tokenizer.decode(self._ids[self._context : end], skip_special_tokens=True)


class StopScanner:
    """Holds back what may be the beginning of a stop string."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.stopped = False

    def push(self, text: str) -> str:
        """What can be shown of the held text and *text*; with ``stopped`` set, all that ever will be."""
        if self.stopped:
            return ""
        held = self._held + text
        found = [at for stop in self._stops if (at := held.find(stop)) >= 0]
        if found:
            self.stopped, self._held = True, ""
            return held[: min(found)]
        keep = max((_overlap(held, stop) for stop in self._stops), default=0)
        self._held = held[len(held) - keep :]
        return held[: len(held) - keep]

    def finish(self) -> str:
        """What was held back and turned out to be no stop string."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of *text* that begins *stop*."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)
