"""Where the time of an answer went, in words and as small bars."""

from __future__ import annotations

from html import escape

from ui.models import Answer

PARTS = (
    ("encode", "Hearing"),
    ("prefill", "Prefill"),
    ("ttft", "First token"),
    ("decode", "Decoding"),
    ("total", "Total"),
)


def seconds(value: float) -> str:
    """A duration with a fitting unit."""
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"


def line(answer: Answer) -> str:
    """One line under an answer: first token, total, tokens, and what was not heard."""
    timings, usage = answer.coat.get("timings"), answer.usage
    if not timings:
        return ""
    block = usage.get("prompt_tokens_details", {}).get("block_tokens", 0)
    facts = [
        f"first token after {seconds(timings['ttft'])}",
        f"{usage.get('completion_tokens', 0)} tokens in {seconds(timings['total'])}",
        f"block of {block - 2} positions" if block else "no block",
    ]
    facts += [
        f"only the first {clip['heard_seconds']:.1f} s of {clip['seconds']:.1f} s were heard"
        for clip in answer.coat.get("clips", ())
        if clip["seconds"] > clip["heard_seconds"]
    ]
    return f'<p class="facts">{escape(" · ".join(facts))}</p>'
