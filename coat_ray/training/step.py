"""One optimiser step over the global batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from coat_ray.config import StageConfig
from coat_ray.model.batch import Batch
from coat_ray.training.engine import Engine
from coat_ray.training.objective import Objective
from coat_ray.training.window import StepSums


class NonFiniteLossError(RuntimeError):
    """A loss or a gradient that is NaN or infinite; the message names the rows of the batch."""


def seed_step(seed: int, step: int, rank: int) -> None:
    """Make every draw of a step (dropout) a function of seed, global step and worker, so that no state is stored."""
    torch.manual_seed(int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0] >> 1))


def train_step(
    engine: Engine,
    parts: Sequence[Batch],
    stage: StageConfig,
    active: Sequence[str],
    leave_out: Callable[[list[str]], Batch | None] | None = None,
) -> StepSums:
    """Forward and backward of every part, then one update. Returns this worker's sums for the log (see ``Window``).

    The loss is that of ``Objective``. DeepSpeed averages gradients over workers, so that each worker's part is scaled
    by their number.

    Args:
        engine: the model and its optimiser.
        parts: this worker's share of the global batch; every worker has equally many.
        stage: whose weights count.
        active: roles whose losses count.
        leave_out: takes the rows of a part, of all workers, whose loss is not finite on one of them, and gives a batch
            without rows for its place; None: such a part is an error.

    Raises:
        NonFiniteLossError: on every worker, before anything is updated (after it where the gradient alone is bad).
    """
    objective = Objective.of(parts, {role: stage.weights[role] for role in active}, engine.device)
    sums = StepSums()
    for number, part in enumerate(parts, 1):
        batch = part.to(engine.device)
        output = engine.forward(batch, tuple(active))
        loss = objective.loss(output)
        if bad := _rows_with_a_bad_loss(batch, loss):
            empty = leave_out(_from_all_workers(batch.row_ids)) if leave_out else None
            if empty is None:
                raise NonFiniteLossError(f"the loss is not finite; it came from among the rows {', '.join(bad)}")
            batch = empty.to(engine.device)
            output = engine.forward(batch, tuple(active))
            loss = objective.loss(output)
            if _rows_with_a_bad_loss(batch, loss):
                raise NonFiniteLossError(f"the loss is not finite, and not without the rows {', '.join(bad)} either")
        engine.backward(loss * dist.get_world_size(), last=number == len(parts))
        sums.add(output, batch)
    sums.values["grad_norm"] = norm = engine.step()
    if not math.isfinite(norm):
        rows = ", ".join(_from_all_workers([row for part in parts for row in part.row_ids]))
        raise NonFiniteLossError(f"the gradient is not finite; it came from among the rows {rows}")
    return sums


def _rows_with_a_bad_loss(batch: Batch, loss: Tensor) -> list[str]:
    """Rows of the workers whose loss is not finite, the same list on every worker."""
    finite = torch.isfinite(loss.detach())
    bad = (~finite).float()
    dist.all_reduce(bad)
    if not bad.item():
        return []
    return _from_all_workers([] if finite.item() else batch.row_ids) or ["(no row)"]


def _from_all_workers(names: Sequence[str]) -> list[str]:
    found: list[list[str]] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(found, list(names))
    return sorted(name for part in found for name in part)
