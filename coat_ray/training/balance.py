"""Automatic loss balance: a learnable log-variance for each expert (Kendall, Gal & Cipolla, CVPR 2018).

With ``balance.kind: uncertainty`` the loss of stage s with active experts A_s and configured weights w_k is

    L = L_CE + Σ_{k ∈ A_s} w_k · (exp(−s_k) · L_k + s_k),        s_k = log σ_k²,  s_k = 0 at the start,

where L_k is the expert's mean loss over the global batch, all its terms together: w_k times twice their term of a
regression, L / (2σ²) + log σ, with s in place of σ, as they train it for its stability. The
effective weight w_k · exp(−s_k) starts at the configured one and tends to w_k / L_k, so that every expert's loss is
weighed relative to its own size; w_k stays what says which expert matters more. Cross-entropy keeps weight 1.

The log-variances have Adam groups of their own without weight decay, with ``balance.lr`` or else the heads' learning
rate on the same schedule; as the heads, those of inactive experts are not used, stay as they are, and start with fresh
moments. A step in which no row has a target for an expert gives its s_k no gradient. Their gradients count in the norm
that is clipped.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from coat_ray.config import RunConfig
from coat_ray.model.batch import Batch, StepOutput

BALANCE = "balance."


class LogVariance(nn.Module):
    """One s_k; handed out by ``forward``, so that ZeRO-3 has it in one piece there."""

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.zeros(1))

    def forward(self) -> Tensor:
        """s_k as float32, without dimensions."""
        return self.value.float().sum()


class BalancedModel(nn.Module):
    """A model (``engine.Trainable``) with a log-variance for each role; gives them with every step's output."""

    def __init__(self, model: Any, roles: Iterable[str]) -> None:
        super().__init__()
        self.model = model
        self.balance = nn.ModuleDict({role: LogVariance() for role in sorted(roles)})

    def forward(self, batch: Batch, active: tuple[str, ...] = ()) -> StepOutput:
        """The model's step, with ``log_variances`` of the active roles on every worker."""
        output = self.model(batch, active)
        output.log_variances = {role: self.balance[role]() for role in active}
        return output

    def trainable_parameters(self) -> dict[str, list[tuple[str, nn.Parameter]]]:
        """The model's groups under their own names, and ``balance`` (named ``balance.<role>.value``)."""
        own = [(BALANCE + name, parameter) for name, parameter in self.balance.named_parameters()]
        return self.model.trainable_parameters() | {"balance": own}

    def save_adapter(self, folder: Path) -> None:
        """Write what the model trained; log-variances live in checkpoints and in the log."""
        self.model.save_adapter(folder)


def balanced(model: Any, config: RunConfig, roles: Iterable[str]) -> Any:
    """The model as the configuration wants its losses balanced: itself with fixed weights or without experts.

    Args:
        model: an ``nn.Module`` that is also ``engine.Trainable``.
        config: the run; ``balance`` decides.
        roles: every role that is active in some stage.
    """
    roles = set(roles)
    return BalancedModel(model, roles) if config.balance.kind == "uncertainty" and roles else model
