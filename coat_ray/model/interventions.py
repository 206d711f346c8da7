"""What happens to an answer when its thinking block is taken away, emptied or scrambled."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import torch
from torch import Tensor, nn


class BlockTreatment(StrEnum):
    """How the block is treated at generation time."""

    TRAINED = "trained"
    """As trained."""
    REMOVED = "removed"
    """No block in the prompt."""
    UNTRAINED = "untrained"
    """Same positions, but the block's three token rows are replaced by rows that were never trained."""
    SHUFFLED = "shuffled"
    """Computed as trained, then its positions are permuted in time before the answer reads them."""


def untrained_rows(weight_VD: Tensor, ids: list[int], seed: int = 0) -> Tensor:
    """Fresh embedding rows for the block tokens, with the mean norm of the vocabulary's rows, (len(ids), D)."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(len(ids), weight_VD.shape[1], generator=generator).to(weight_VD)
    return rows / rows.norm(dim=-1, keepdim=True) * weight_VD.norm(dim=-1).mean()


def shuffle_block(cache: Any, think_BS: Tensor, rotary: nn.Module, seed: int = 0) -> None:
    """Permute the cached keys and values of each row's block positions in time.

    ``cache`` is a transformers cache with (B, H, S, K) keys and values in every layer. A key carries the rotation of
    its position, so the ones that move are rotated on by the distance of the move: to the answer, the block then looks
    as if its thoughts had come in another order.
    """
    generator = torch.Generator().manual_seed(seed)
    for row in range(think_BS.shape[0]):
        target = think_BS[row].nonzero().squeeze(-1)
        if len(target) == 0:
            continue
        source = target[torch.randperm(len(target), generator=generator).to(target.device)]
        for keys_BHSK, values_BHSK in ((layer.keys, layer.values) for layer in cache.layers):
            keys_HSK, values_HSK = keys_BHSK[row], values_BHSK[row]  # views: writing to them changes the cache
            moved = keys_HSK[:, source]
            cos, sin = rotary(moved, (target - source)[None])
            keys_HSK[:, target] = moved * cos + _rotate_half(moved) * sin
            values_HSK[:, target] = values_HSK[:, source]


def _rotate_half(x: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return torch.cat((-second, first), dim=-1)
