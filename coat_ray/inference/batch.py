"""The running batch: rows that join after their prompt has run and leave with their last token, between two steps.

Every row has its own length. Rows are padded on the left, the cache is padded with them, and the padding that no row
needs any more is cut off. Positions are counted per row, so a row computes the same in any company, up to rounding.

Shapes: B rows, S cached positions (padded on the left), D hidden size, V vocabulary, H heads, K head width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.cache_utils import DynamicCache

from coat_ray.inference.lora import LoraMixer
from coat_ray.inference.row import Row
from coat_ray.model.backbones.base import Backbone
from coat_ray.model.generate import Prompts, left_pad, pad_id


class RunningBatch:
    """Rows whose prompts have run."""

    def __init__(self, backbone: Backbone, mixer: LoraMixer, rows: list[Row], prompts: Prompts) -> None:
        self.rows = rows
        self._backbone, self._mixer = backbone, mixer
        self._block_ids = set(backbone.front.block_ids.as_list())
        self._cache = DynamicCache()
        self._mask_BS, self._positions_B1 = prompts.mask_BS, prompts.positions_BS[:, -1:]
        self._lengths = [len(row.prompt.layout) for row in rows]

    @classmethod
    def prefill(
        cls, backbone: Backbone, mixer: LoraMixer, rows: Sequence[Row], z_audio: Tensor
    ) -> tuple[RunningBatch, Tensor]:
        """Run the prompts of *rows*, whose clips' tower outputs are *z_audio* (sum L_a, D); logits (B, V)."""
        device = backbone.lm_head.weight.device
        prompts = left_pad([row.prompt.layout for row in rows], pad_id(backbone.front), device)
        batch = cls(backbone, mixer, list(rows), prompts)
        x_BSD = backbone.embed(prompts.ids_BS, prompts.audio_BS, z_audio)
        x_BSD = batch._lay_rows(x_BSD, prompts.ids_BS)
        with mixer.rows([row.slot for row in rows]):
            hidden_BSD = backbone.decode(x_BSD, prompts.mask_BS, batch._cache, prompts.positions_BS)
        for i, row in enumerate(rows):
            if row.request.thinking_columns and row.prompt.block:
                row.h_think = hidden_BSD[i][prompts.think_BS[i]]
        return batch, backbone.lm_head(hidden_BSD[:, -1])

    def step(self, tokens: Sequence[int]) -> Tensor:
        """Let every row read one token; logits (B, V) of the next."""
        self._mask_BS = F.pad(self._mask_BS, (0, 1), value=1)
        self._positions_B1 = self._positions_B1 + 1
        self._lengths = [length + 1 for length in self._lengths]
        ids_B1 = torch.tensor(tokens, device=self._mask_BS.device)[:, None]
        x_B1D = self._backbone.hf.get_input_embeddings()(ids_B1)
        if self._block_ids.intersection(tokens):
            x_B1D = self._lay_rows(x_B1D, ids_B1)
        with self._mixer.rows([row.slot for row in self.rows]):
            hidden_B1D = self._backbone.decode(x_B1D, self._mask_BS, self._cache, self._positions_B1)
        return self._backbone.lm_head(hidden_B1D[:, -1])

    def join(self, other: RunningBatch) -> None:
        """Take in the rows of *other*, which is of no use afterwards."""
        width = max(self._mask_BS.shape[1], other._mask_BS.shape[1])
        self._mask_BS = torch.cat([_widen(self._mask_BS, width, -1), _widen(other._mask_BS, width, -1)])
        self._positions_B1 = torch.cat([self._positions_B1, other._positions_B1])
        for mine, theirs in zip(self._layers, other._layers, strict=True):
            mine.keys = torch.cat([_widen(layer.keys, width, -2) for layer in (mine, theirs)])
            mine.values = torch.cat([_widen(layer.values, width, -2) for layer in (mine, theirs)])
        self.rows += other.rows
        self._lengths += other._lengths

    def keep(self, kept: Sequence[int]) -> None:
        """Let go of all rows but those at the indices *kept*, at least one, and of padding that none of them needs."""
        if len(kept) == len(self.rows):
            return
        self.rows = [self.rows[i] for i in kept]
        self._lengths = [self._lengths[i] for i in kept]
        surplus = self._mask_BS.shape[1] - max(self._lengths)
        at_B = torch.tensor(kept, device=self._mask_BS.device)
        self._mask_BS, self._positions_B1 = self._mask_BS[at_B, surplus:], self._positions_B1[at_B]
        for layer in self._layers:
            layer.keys, layer.values = layer.keys[at_B, :, surplus:], layer.values[at_B, :, surplus:]

    @property
    def _layers(self) -> list[Any]:
        """The cache's layers, each with keys and values (B, H, S, K)."""
        return self._cache.layers

    def _lay_rows(self, x_BSD: Tensor, ids_BS: Tensor) -> Tensor:
        """Put each row's own vectors where its block's tokens stand; a row without any keeps those of the base."""
        if not any(row.adapter and row.adapter.rows_3D is not None for row in self.rows):
            return x_BSD
        ids = self._backbone.front.block_ids.as_list()
        base_3D = self._backbone.hf.get_input_embeddings().weight[ids]
        rows_B3D = torch.stack([_token_rows(row, base_3D) for row in self.rows]).to(x_BSD.dtype)
        for k, token in enumerate(ids):
            x_BSD = torch.where((ids_BS == token)[..., None], rows_B3D[:, k, None], x_BSD)
        return x_BSD


def _token_rows(row: Row, base_3D: Tensor) -> Tensor:
    own = row.adapter.rows_3D if row.adapter else None
    return base_3D if own is None else own.to(base_3D)


def _widen(tensor: Tensor, width: int, dim: int) -> Tensor:
    """Zeros in front, up to *width* along *dim* (-1 or -2)."""
    missing = width - tensor.shape[dim]
    return F.pad(tensor, (0, 0) * (-1 - dim) + (missing, 0)) if missing else tensor
