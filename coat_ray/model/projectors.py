"""Projection heads P_k from the block to an expert's space (paper 3.2), and their registry.

Shapes: B rows, L block positions of the longest row, D hidden size, E expert width.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from coat_ray.config import ProjectorConfig


class TransformerProjector(nn.Module):
    """One pre-norm Transformer block over the positions of a row's block, then a linear map (paper 3.2)."""

    def __init__(self, hidden: int, width: int, config: ProjectorConfig) -> None:
        super().__init__()
        if hidden % config.num_heads:
            raise ValueError(f"projector.num_heads {config.num_heads} does not divide the hidden size {hidden}")
        self.num_heads = config.num_heads
        self.attention_norm, self.ffn_norm, self.norm = nn.LayerNorm(hidden), nn.LayerNorm(hidden), nn.LayerNorm(hidden)
        self.qkv, self.out = nn.Linear(hidden, 3 * hidden), nn.Linear(hidden, hidden)
        inner = int(hidden * config.ffn_ratio)
        self.ffn = nn.Sequential(nn.Linear(hidden, inner), nn.GELU(), nn.Linear(inner, hidden))
        self.linear = nn.Linear(hidden, width)

    def forward(self, h_BLD: Tensor, mask_BL: Tensor) -> Tensor:
        """Map hidden states to predicted features (B, L, E); ``mask_BL`` is True at real positions."""
        x = h_BLD + self._attend(self.attention_norm(h_BLD), mask_BL)
        x = x + self.ffn(self.ffn_norm(x))
        return self.linear(self.norm(x))

    def _attend(self, x_BLD: Tensor, mask_BL: Tensor) -> Tensor:
        q, k, v = (part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for part in self.qkv(x_BLD).chunk(3, -1))
        y = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask_BL[:, None, None, :])
        return self.out(y.transpose(1, 2).flatten(-2))


class LinearProjector(nn.Module):
    """A single linear map, position by position (the paper's ablation)."""

    def __init__(self, hidden: int, width: int, config: ProjectorConfig) -> None:  # noqa: ARG002 - one signature for all
        super().__init__()
        self.linear = nn.Linear(hidden, width)

    def forward(self, h_BLD: Tensor, mask_BL: Tensor) -> Tensor:  # noqa: ARG002
        """Map hidden states to predicted features (B, L, E)."""
        return self.linear(h_BLD)


PROJECTORS: dict[str, Callable[[int, int, ProjectorConfig], nn.Module]] = {
    "transformer": TransformerProjector,
    "linear": LinearProjector,
}


def make_projector(hidden: int, width: int, config: ProjectorConfig) -> nn.Module:
    """Build the head that the configuration names.

    Raises:
        ValueError: unknown kind.
    """
    if config.kind not in PROJECTORS:
        raise ValueError(f"projector.kind {config.kind!r} is not one of {sorted(PROJECTORS)}")
    return PROJECTORS[config.kind](hidden, width, config)
