"""From packed block positions (sum L, …) to padded groups (N, L, …) and back."""

from __future__ import annotations

import torch
from torch import Tensor


def pad_groups(packed: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Split ``packed`` (sum lengths, …) into groups padded with zeros: (N, max length, …) and mask (N, max length)."""
    mask = torch.arange(int(lengths.max()), device=packed.device)[None] < lengths.to(packed.device)[:, None]
    padded = packed.new_zeros(*mask.shape, *packed.shape[1:])
    return padded.masked_scatter(_broadcast(mask, padded), packed), mask


def unpad_groups(padded: Tensor, mask: Tensor) -> Tensor:
    """Inverse of ``pad_groups``."""
    return padded[mask]


def _broadcast(mask: Tensor, padded: Tensor) -> Tensor:
    return mask.reshape(*mask.shape, *[1] * (padded.dim() - mask.dim())).expand_as(padded)
