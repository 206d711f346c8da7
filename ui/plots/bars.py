"""Where the time of several answers went, as small bars on one scale for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ui.models import Answer
from ui.plots.timings import seconds

PARTS = (
    ("encode", "Hearing"),
    ("prefill", "Prefill"),
    ("ttft", "First token"),
    ("reasoning", "Reasoning"),
    ("decode", "Decoding"),
    ("total", "Total"),
)


def bars(answers: Sequence[Answer | None]) -> list[str]:
    """One block of bars for each answer; nothing for one that has no timings yet."""
    timings = [answer.coat.get("timings", {}) if answer else {} for answer in answers]
    longest = max((t.get("total", 0.0) for t in timings), default=0.0) or 1.0
    tokens = [answer.usage.get("completion_tokens", 0) if answer else 0 for answer in answers]
    most = max(tokens, default=0) or 1
    return [_block(t, longest, count, most) if t else "" for t, count in zip(timings, tokens, strict=True)]


def _block(timings: dict[str, float], longest: float, tokens: int, most: int) -> str:
    rows = [_bar(name, timings[key] / longest, seconds(timings[key])) for key, name in PARTS if timings.get(key)]
    if timings.get("cached_clips"):
        rows.insert(
            0, '<div class="bar-row"><span>Hearing</span><i class="note">clip heard before, not again</i></div>'
        )
    rows.append(_bar("Tokens", tokens / most, str(tokens), "count"))
    return f'<div class="bars">{"".join(rows)}</div>'


def _bar(name: str, share: float, value: str, kind: str = "") -> str:
    width = max(1, round(100 * share))
    return (
        f'<div class="bar-row"><span>{escape(name)}</span>'
        f'<span class="track"><i class="{kind}" style="width:{width}%"></i></span><b>{escape(value)}</b></div>'
    )
