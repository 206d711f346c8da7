"""One optimisation loop for every embedded teacher."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Report = Callable[[str], None]


@dataclass(frozen=True)
class Schedule:
    """Length and pace of one training."""

    steps: int
    batch: int
    lr: float


def fit(module: nn.Module, losses: Iterator[dict[str, Tensor]], schedule: Schedule, name: str, report: Report) -> None:
    """AdamW with a one-cycle rate over *losses*, each a dict of terms that are summed."""
    trained = [p for p in module.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=schedule.lr, weight_decay=0.01)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, schedule.lr, total_steps=schedule.steps, pct_start=0.15)
    started = time.monotonic()
    sums: dict[str, float] = {}
    module.train()
    for step in range(1, schedule.steps + 1):
        terms = next(losses)
        optimiser.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        cycle.step()
        sums = {key: sums.get(key, 0.0) + value.item() for key, value in terms.items()}
        if step % 25 == 0:
            said = "  ".join(f"{key} {value / 25:.3f}" for key, value in sums.items())
            report(f"{name}: step {step}/{schedule.steps}  {said}  {time.monotonic() - started:.0f} s")
            sums = {}
    module.eval()
