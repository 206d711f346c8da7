"""The learning rate as a pure function of the global step, so that a resumed run needs no scheduler state."""

from __future__ import annotations

import math

from coat_ray.config import OptimConfig


def lr_factor(step: int, total_steps: int, optim: OptimConfig) -> float:
    """Linear warm-up to 1, then cosine decay to ``min_lr_fraction``, over all stages together.

    Args:
        step: global step, from 0; the first step already moves (factor 1 / warm-up steps).
        total_steps: steps over all stages.
        optim: ``warmup_fraction`` and ``min_lr_fraction``.
    """
    warmup = round(optim.warmup_fraction * total_steps)
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, total_steps - warmup)
    return optim.min_lr_fraction + (1 - optim.min_lr_fraction) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
