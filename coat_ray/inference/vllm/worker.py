"""What our engine asks of the process that holds the weights, beside what vLLM offers (``worker_extension_cls``).

Shapes: D hidden size, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

ROWS = "rows"
"""Name of the block's rows (3, D) in the file that is read."""


class BlockRows:
    """Methods that vLLM adds to its worker; called through ``collective_rpc``, between two steps."""

    model_runner: Any

    def settle_block(self, ids: list[int]) -> None:
        """Give the block's output rows their start, as ``add_block_tokens`` does: they are never an answer."""
        weight_VD = _matrix(self.model_runner.model.language_model.lm_head)
        with torch.no_grad():
            weight_VD[ids] = weight_VD[: self._vocabulary].mean(0)

    def write_block_rows(self, ids: list[int], file: str) -> None:
        """Write an adapter's token rows over the input rows *ids*."""
        weight_VD = _matrix(self.model_runner.model.language_model.model.embed_tokens)
        with torch.no_grad():
            weight_VD[ids] = load_file(file)[ROWS].to(weight_VD)

    @property
    def _vocabulary(self) -> int:
        """Rows of the published matrix; vLLM fills its own up with zeros."""
        return self.model_runner.model.config.text_config.vocab_size


def _matrix(layer: Any) -> Tensor:
    """The weights of a layer that LoRA may be wrapped around."""
    return getattr(layer, "base_layer", layer).weight
