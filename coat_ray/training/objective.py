"""The loss of one optimiser step, of which every worker computes its parts (paper 3.4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from coat_ray.model.batch import Batch, StepOutput


@dataclass(frozen=True)
class Objective:
    """``CE / tokens + sum_k w_k L_k / positions_k`` with counts of the whole global batch.

    With a learned balance an expert's part is as in ``training/balance.py``. Weights are those of the active roles;
    ``shares`` is the number of workers times the number of each one's parts.
    """

    weights: Mapping[str, float]
    tokens: float
    positions: Mapping[str, float]
    shares: int

    @classmethod
    def of(cls, parts: Sequence[Batch], weights: Mapping[str, float], device: torch.device) -> Objective:
        """Count over all parts and workers, before anything is computed. Every worker must call it."""
        local = [sum(part.num_response_tokens() for part in parts)]
        local += [sum(part.num_positions(role) for part in parts) for role in weights]
        sums = torch.tensor(local, dtype=torch.float64, device=device)
        dist.all_reduce(sums)
        tokens, *positions = sums.tolist()
        by_role = dict(zip(weights, positions, strict=True))
        return cls(weights, tokens, by_role, len(parts) * dist.get_world_size())

    def loss(self, output: StepOutput) -> Tensor:
        """What one part adds to the step's loss."""
        loss = output.ce_sum / max(1.0, self.tokens)
        for role, weight in self.weights.items():
            loss = loss + self._expert_part(output, role, weight)
        return loss

    def _expert_part(self, output: StepOutput, role: str, weight: float) -> Tensor | float:
        """An expert's weighted loss.

        The penalty w_k s_k of a learned balance is shared out, so that every part has a gradient for it and their sum
        counts it once.
        """
        count = self.positions[role]
        part = weight * sum(output.expert_sums.get(role, {}).values()) / max(1.0, count)
        if role not in output.log_variances:
            return part
        log_variance = output.log_variances[role]
        penalty = weight / self.shares if count else 0.0
        return torch.exp(-log_variance) * part + penalty * log_variance
