"""How much of each expert the block holds: the held-out loss beside that of the best prediction that never listens.

Shapes: P block positions of all clips, E expert width, C classes or bins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from coat_ray.config import RECON
from coat_ray.evaluation.reports.report import Distillation
from coat_ray.experts.base import FrozenHead
from coat_ray.model.batch import Batch
from coat_ray.model.coat import CoatModel
from coat_ray.model.losses import FocalSettings, focal_bce

LOGIT_GRID = torch.linspace(-12, 6, 73)
"""Constant logits that are tried for the focal term, which has no closed minimum."""


@torch.inference_mode()
def distillation(model: CoatModel, batches: Sequence[Batch]) -> dict[str, Distillation]:
    """Every loss term of every head over the same held-out clips, with its best constant, as ``role term``.

    Args:
        model: a trained model with a block.
        batches: held-out clips, each once, with the targets of all its experts.
    """
    roles = tuple(sorted(model.heads))
    sums: dict[str, float] = {}
    counts: dict[str, int] = {}
    targets: dict[str, list[Tensor]] = {role: [] for role in roles}
    device = model.backbone.lm_head.weight.device
    for batch in (batch.to(device) for batch in batches):
        output = model.eval()(batch, roles)
        for role, terms in output.expert_sums.items():
            counts[role] = counts.get(role, 0) + output.num_positions[role]
            for term, value in terms.items():
                sums[f"{role} {term}"] = sums.get(f"{role} {term}", 0.0) + float(value)
            targets[role].append(_targets(model, batch, role))
    constants = {
        f"{role} {term}": value
        for role in counts
        for term, value in best_constant(
            model.losses[role], torch.cat(targets[role]), model.frozen_head(role), model.focal
        ).items()
    }
    return {key: Distillation(total / counts[key.split()[0]], constants[key]) for key, total in sums.items()}


def _targets(model: CoatModel, batch: Batch, role: str) -> Tensor:
    target = model.encode_audio(batch) if role == RECON else batch.targets[role]
    return target[batch.target_masks[role]]


def best_constant(loss: str, z_PE: Tensor, head: FrozenHead | None, focal: FocalSettings) -> dict[str, float]:
    """The lowest value that each term of a loss can have when the prediction is the same at every position.

    MSE: the variance, at the mean. BCE: the entropy of the mean probability. Focal: the best of a grid of constant
    posteriorgrams, bin by bin. Terms are minimised apart, so a single constant can only do worse.
    """
    return CONSTANTS[loss](z_PE.float(), head, focal)


def _mse(z_PE: Tensor, head: FrozenHead | None, focal: FocalSettings) -> dict[str, float]:  # noqa: ARG001
    return {"mse": float(z_PE.var(0, unbiased=False).mean())}


def _bce(z_PE: Tensor, head: FrozenHead | None, focal: FocalSettings) -> dict[str, float]:  # noqa: ARG001
    assert head is not None
    mean_C = head(z_PE).sigmoid().mean(0)
    return {"bce": float(F.binary_cross_entropy(mean_C, mean_C))}


def _mse_focal(z_PE: Tensor, head: FrozenHead | None, focal: FocalSettings) -> dict[str, float]:
    assert head is not None
    teacher_PC = head(z_PE[None])[0].sigmoid()
    losses = [
        focal_bce(logit.expand_as(teacher_PC), teacher_PC, focal.alpha, focal.gamma).mean(0)
        for logit in LOGIT_GRID.to(teacher_PC)
    ]
    lowest_C = torch.stack(losses).min(0).values
    return {**_mse(z_PE, None, focal), "focal": focal.weight * float(lowest_C.mean())}


CONSTANTS: dict[str, Callable[[Tensor, FrozenHead | None, FocalSettings], dict[str, float]]] = {
    "mse": _mse,
    "bce": _bce,
    "mse_focal": _mse_focal,
}
