"""What both engines are asked, and what is written down of an answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from coat_ray.inference.handle import Handle
from coat_ray.inference.requests import AdapterSource, Mode, Request
from tests.inference.made import ask, clip

RANKS = (1, 4, 12)
TOO_HIGH = 20
MAX_TOKENS = 12
TWO = "<audio>\n<audio>\nwhich note comes first"
NAMES = (
    *(f"{who} about {clip}" for who in ("base", "a0", "a1", "a2") for clip in (0, 1)),
    "without the block",
    "without a clip",
    "about two clips",
    "up to a stop string",
    "in text first",
    "the first adapter again",
)


def asks(sources: Sequence[AdapterSource]) -> dict[str, Request]:
    """Greedy requests by name, of a kind that mixes adapters and the base."""
    models = {"base": None, **{f"a{i}": source for i, source in enumerate(sources)}}
    first, second = sources[0], sources[1]
    found = {f"{who} about {c}": ask(models[who], c, max_tokens=MAX_TOKENS) for who in models for c in (0, 1)}
    return found | {
        "without the block": ask(second, 0, mode=Mode.PLAIN, max_tokens=MAX_TOKENS),
        "without a clip": ask(second, text="which note?", max_tokens=MAX_TOKENS),
        "about two clips": ask(second, text=TWO, clips=[clip(0), clip(1)], max_tokens=MAX_TOKENS),
        "up to a stop string": ask(first, 0, stop=("gdo",), max_tokens=MAX_TOKENS),
        "in text first": ask(second, 0, mode=Mode.TEXT_COT, max_tokens=8, max_reasoning_tokens=7),
        "the first adapter again": ask(first, 1, max_tokens=MAX_TOKENS),
    }


def told(handle: Handle) -> dict[str, Any]:
    """An answer as JSON; its pieces must be its text."""
    pieces = list(handle)
    result = handle.result(600)
    assert "".join(piece.text for piece in pieces if not piece.reasoning) == result.text
    return {
        "tokens": list(result.tokens),
        "text": result.text,
        "reasoning": result.reasoning,
        "finish_reason": result.finish_reason,
        "usage": vars(result.usage),
    }
