"""What one vLLM engine may hold at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Rank = Literal[1, 8, 16, 32, 64, 128, 256, 320, 512]


@dataclass(frozen=True)
class VllmLimits:
    """Bounds of a vLLM engine, fixed at its start.

    Args:
        rows: requests that run together.
        waiting: requests that wait for them; one more is refused.
        adapters: in memory at once; each takes three spare rows of the base's vocabulary. 0: the bare base only.
        lora_rank: the highest rank of an adapter, one of those that vLLM knows; every adapter takes the memory of it.
        clips: in one request.
        cache_bytes: keys and values of all requests.
        prefix_cache: keep keys and values of prompts that begin alike, each tenant's and adapter's apart.

    Raises:
        ValueError: another rank.
    """

    rows: int = 16
    waiting: int = 64
    adapters: int = 8
    lora_rank: Rank = 16
    clips: int = 8
    cache_bytes: int = 2**30
    prefix_cache: bool = True

    def __post_init__(self) -> None:
        if self.lora_rank not in get_args(Rank):
            known = ", ".join(map(str, get_args(Rank)))
            raise ValueError(f"lora_rank is {self.lora_rank}; vLLM knows {known}")
