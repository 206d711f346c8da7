"""What happens to an answer when its thinking block is taken away, emptied or scrambled."""

from __future__ import annotations

from collections.abc import Callable
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
    EXCHANGED = "exchanged"
    """Computed as trained, then the answer reads the block of another question of its batch."""
    ALONE = "alone"
    """Computed as trained, then the answer reads the block and the text, but none of the audio tokens."""


def untrained_rows(weight_VD: Tensor, ids: list[int], seed: int = 0) -> Tensor:
    """Fresh embedding rows for the block tokens, with the mean norm of the vocabulary's rows, (len(ids), D)."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(len(ids), weight_VD.shape[1], generator=generator).to(weight_VD)
    return rows / rows.norm(dim=-1, keepdim=True) * weight_VD.norm(dim=-1).mean()


def shuffle_block(cache: Any, think_BS: Tensor, positions_BS: Tensor, rotary: nn.Module, seed: int = 0) -> None:
    """Permute the cached keys and values of each row's block positions in time.

    ``cache`` is a transformers cache with (B, H, S, K) keys and values in every layer. A key carries the rotation of
    its position (``positions_BS``), so the ones that move are rotated on by the distance of the move: to the answer,
    the block then looks as if its thoughts had come in another order.
    """
    generator = torch.Generator().manual_seed(seed)
    places = [row_S.nonzero().squeeze(-1) for row_S in think_BS]
    sources = [(i, at[torch.randperm(len(at), generator=generator).to(at.device)]) for i, at in enumerate(places)]
    _overwrite(cache, places, sources, positions_BS, rotary)


def exchange_blocks(cache: Any, think_BS: Tensor, positions_BS: Tensor, rotary: nn.Module) -> None:
    """Give each row's block the cached keys and values of the block of the row half a batch away.

    Where the blocks differ in length, the other one is stretched or shortened in time. A row that is alone with its
    block in the batch keeps it.
    """
    places = [row_S.nonzero().squeeze(-1) for row_S in think_BS]
    rows = [i for i, at in enumerate(places) if len(at)]
    donor = dict(zip(rows, rows[len(rows) // 2 :] + rows[: len(rows) // 2], strict=True))
    sources = []
    for i, at in enumerate(places):
        other = places[donor.get(i, i)]
        sources.append(
            (donor.get(i, i), other[torch.arange(len(at), device=at.device) * len(other) // max(1, len(at))])
        )
    _overwrite(cache, places, sources, positions_BS, rotary)


def _overwrite(
    cache: Any, places: list[Tensor], sources: list[tuple[int, Tensor]], positions_BS: Tensor, rotary: nn.Module
) -> None:
    """Let every row's keys and values at its places be those of another row and place, keys rotated to fit."""
    for layer in cache.layers:
        keys_BHSK, values_BHSK = layer.keys.clone(), layer.values.clone()
        for row, (target, (other, source)) in enumerate(zip(places, sources, strict=True)):
            if len(target) == 0:
                continue
            moved_HPK = keys_BHSK[other][:, source]
            distance_P = positions_BS[row, target] - positions_BS[other, source]
            cos, sin = rotary(moved_HPK, distance_P[None])
            layer.keys[row][:, target] = moved_HPK * cos + _rotate_half(moved_HPK) * sin
            layer.values[row][:, target] = values_BHSK[other][:, source]


def _rotate_half(x: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return torch.cat((-second, first), dim=-1)


MOVES: dict[BlockTreatment, Callable[[Any, Tensor, Tensor, nn.Module], None]] = {
    BlockTreatment.SHUFFLED: shuffle_block,
    BlockTreatment.EXCHANGED: exchange_blocks,
}
"""Treatments that happen between the block and the token that closes it."""
