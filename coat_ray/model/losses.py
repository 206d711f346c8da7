"""The distillation losses as pure functions (paper 3.3).

Each takes the student's prediction z_hat and the teacher's features z, both (N, L, E) with zeros after a clip's end,
and ``mask_NL``, True where the clip has a frame and a target. Each returns named terms: the sum over masked positions
of the mean over the width, to be divided by the number of positions in the global batch. Loss weights are not applied
here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from coat_ray.experts.base import FrozenHead


@dataclass(frozen=True)
class FocalSettings:
    """Settings of the pitch loss; the paper gives none, alpha and gamma are those of the closest peer (CoVT)."""

    weight: float = 1.0
    alpha: float = 0.25
    gamma: float = 2.0


def _masked_sum(values_NLE: Tensor, mask_NL: Tensor) -> Tensor:
    return (values_NLE.mean(-1) * mask_NL).sum()


def mse(z_hat: Tensor, z: Tensor, mask_NL: Tensor, head: FrozenHead | None, focal: FocalSettings) -> dict[str, Tensor]:  # noqa: ARG001
    """Mean squared error in feature space: recon, speech, paralinguistic."""
    return {"mse": _masked_sum((z_hat - z).square(), mask_NL)}


def bce(z_hat: Tensor, z: Tensor, mask_NL: Tensor, head: FrozenHead | None, focal: FocalSettings) -> dict[str, Tensor]:  # noqa: ARG001
    """Binary cross-entropy between sigmoid(g_cls(z_hat)) and the teacher's probabilities sigmoid(g_cls(z)): sed."""
    head = _needs(head, "bce")
    with torch.no_grad():
        teacher = head(z).sigmoid()
    return {"bce": _masked_sum(F.binary_cross_entropy_with_logits(head(z_hat), teacher, reduction="none"), mask_NL)}


def mse_focal(
    z_hat: Tensor, z: Tensor, mask_NL: Tensor, head: FrozenHead | None, focal: FocalSettings
) -> dict[str, Tensor]:
    """Feature MSE + w_aux * focal BCE between the posteriorgrams h(z_hat) and h(z): pitch.

    Both sides are zeroed after a clip's end, so that h sees there what it sees at the end of a recording.
    """
    head = _needs(head, "mse_focal")
    with torch.no_grad():
        teacher = head(z).sigmoid()
    logits = head(z_hat * mask_NL[..., None])
    return {
        "mse": _masked_sum((z_hat - z).square(), mask_NL),
        "focal": focal.weight * _masked_sum(focal_bce(logits, teacher, focal.alpha, focal.gamma), mask_NL),
    }


def focal_bce(logits: Tensor, target: Tensor, alpha: float, gamma: float) -> Tensor:
    """Focal binary cross-entropy for soft targets, element by element.

    ``(alpha y + (1 - alpha)(1 - y)) |y - p|^gamma BCE(p, y)``: equals the focal loss (Lin et al. 2017, eq. 5) at
    y in {0, 1} and its extension to soft labels (Li et al. 2020, eq. 3) in between.
    """
    p = logits.sigmoid()
    balance = alpha * target + (1 - alpha) * (1 - target)
    cross_entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return balance * (target - p).abs().pow(gamma) * cross_entropy


def _needs(head: FrozenHead | None, kind: str) -> FrozenHead:
    if head is None:
        raise ValueError(f"the {kind} loss needs the teacher's frozen head, which its targets do not carry")
    return head


LossFunction = Callable[[Tensor, Tensor, Tensor, FrozenHead | None, FocalSettings], dict[str, Tensor]]
LOSSES: dict[str, LossFunction] = {"mse": mse, "bce": bce, "mse_focal": mse_focal}
