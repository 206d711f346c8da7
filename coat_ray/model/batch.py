"""What goes into a training step and what comes out of it.

Shapes: B rows, S positions, N clips (all rows together, row by row), M mel bins, F mel frames, L_a audio tokens of a
clip, E expert width, D hidden width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor


@dataclass
class Batch:
    """The rows that one worker computes in one step, padded on the right.

    ``audio_mask`` and ``think_mask`` have the same count, and both walk the clips in row-major order, so position i of
    one belongs to position i of the other and to row i of every target. ``think_mask`` is empty in the arm "sft".
    """

    row_ids: list[str]
    input_ids_BS: Tensor  # prompt + block + response
    attention_mask_BS: Tensor  # 1 = real token
    audio_mask_BS: Tensor  # bool, audio placeholders
    think_mask_BS: Tensor  # bool, <|audio_think|> positions
    response_mask_BS: Tensor  # bool, tokens the model must predict
    features_NMF: Tensor  # log-mel, padded to the longest F
    frames_N: Tensor  # valid mel frames per clip
    lengths_N: Tensor  # L_a per clip
    targets: dict[str, Tensor] = field(default_factory=dict)  # role -> (sum L_a, E) float32 on the block's grid
    target_masks: dict[str, Tensor] = field(default_factory=dict)  # role -> (sum L_a,) bool, False: no target

    def to(self, device: torch.device | str) -> Batch:
        """A copy with every tensor on *device*; from pinned memory the copy runs beside what is computed."""
        return self._mapped(lambda tensor: tensor.to(device, non_blocking=True))

    def pinned(self) -> Batch:
        """A copy in page-locked memory, which a GPU reads by itself."""
        return self._mapped(lambda tensor: tensor.pin_memory())

    def num_response_tokens(self) -> int:
        """Tokens that the answers' cross-entropy is summed over."""
        return int(self.response_mask_BS[:, 1:].sum())

    def num_positions(self, role: str) -> int:
        """Block positions that have a target of *role*; 0 in the arm without a block."""
        return int(self.target_masks[role].sum()) if role in self.target_masks else 0

    def _mapped(self, change: Callable[[Tensor], Tensor]) -> Batch:
        return Batch(**{f.name: _map(getattr(self, f.name), change) for f in fields(self)})


@dataclass
class StepOutput:
    """Sums and counts of one worker's step; the loop turns them into means over all workers.

    ``expert_sums``: role -> named loss terms, each summed over the masked block positions (and already a mean over the
    expert's width). ``block_grad_norms`` is filled by hooks while the backward pass runs.
    """

    ce_sum: Tensor
    num_response_tokens: int
    correct: Tensor
    expert_sums: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    num_positions: dict[str, int] = field(default_factory=dict)
    h_think: Tensor | None = None
    block_grad_norms: dict[str, Tensor] = field(default_factory=dict)
    log_variances: dict[str, Tensor] = field(default_factory=dict)  # role -> s_k (), with a learned balance


def _map(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, dict):
        return {key: _map(tensor, change) for key, tensor in value.items()}
    return value
