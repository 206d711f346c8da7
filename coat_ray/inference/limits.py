"""What one engine may hold at a time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EngineLimits:
    """Bounds of an engine.

    Args:
        rows: requests that run together.
        waiting: requests that wait for them; one more is refused.
        cached_positions: rows times the longest prompt and answer among them: the size of the cache.
        prefill_positions: rows times the longest prompt of those that start together; one alone may be longer.
        adapter_bytes: adapters in memory, with the heads that were loaded.
        heard_bytes: tower outputs kept for another question about the same clip.
    """

    rows: int = 16
    waiting: int = 64
    cached_positions: int = 65_536
    prefill_positions: int = 8_192
    adapter_bytes: int = 2**30
    heard_bytes: int = 256 * 2**20
