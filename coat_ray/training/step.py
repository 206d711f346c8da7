"""One optimiser step: the loss over the global batch, and what is remembered of it for the log."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from coat_ray.config import StageConfig
from coat_ray.model.batch import Batch, StepOutput
from coat_ray.training.engine import Engine
from coat_ray.training.throughput import workload


class NonFiniteLossError(RuntimeError):
    """A loss that is NaN or infinite; the message names the rows of the batch."""


def seed_step(seed: int, step: int, rank: int) -> None:
    """Make every draw of a step (dropout) a function of seed, global step and worker, so that no state is stored."""
    torch.manual_seed(int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0] >> 1))


def train_step(engine: Engine, batch: Batch, stage: StageConfig, active: Sequence[str]) -> dict[str, Any]:
    """Forward, backward and update. Returns this worker's sums for the log (see ``Window``).

    The loss is ``CE / tokens + sum_k w_k L_k / positions_k`` with counts of the whole global batch; with a learned
    balance an expert's part is as in ``training/balance.py``. DeepSpeed averages gradients over workers, so that each
    worker's part is scaled by their number.

    Raises:
        NonFiniteLossError: on every worker, before anything is updated.
    """
    output = engine.forward(batch, tuple(active))
    tokens, *positions = _global_counts(output, active, batch)
    loss = output.ce_sum / max(1.0, tokens)
    for role, count in zip(active, positions, strict=True):
        loss = loss + _expert_part(output, role, stage.weights[role], count)
    norm = engine.backward_and_step(loss * dist.get_world_size())
    return _sums(output, batch, norm)


def _expert_part(output: StepOutput, role: str, weight: float, count: float) -> Tensor | float:
    """This worker's part of an expert's weighted loss over *count* positions, balanced where a log-variance is learned.

    The penalty w_k s_k is shared out, so that every worker has a gradient for it and their sum counts it once.
    """
    part = weight * _sum_terms(output, role) / max(1.0, count)
    if role not in output.log_variances:
        return part
    log_variance = output.log_variances[role]
    penalty = weight / dist.get_world_size() if count else 0.0
    return torch.exp(-log_variance) * part + penalty * log_variance


def _sum_terms(output: StepOutput, role: str) -> Tensor | float:
    return sum(output.expert_sums.get(role, {}).values())


def _global_counts(output: StepOutput, active: Sequence[str], batch: Batch) -> list[float]:
    """Response tokens and each role's positions over all workers; checks the losses on the way."""
    total = output.ce_sum.detach() + sum(_sum_terms(output, role) for role in active)
    local = [output.num_response_tokens, *(output.num_positions.get(role, 0) for role in active)]
    sums = torch.tensor([*local, float(not torch.isfinite(total))], dtype=torch.float64, device=output.ce_sum.device)
    dist.all_reduce(sums)
    *counts, bad = sums.tolist()
    if bad:
        raise NonFiniteLossError(_blame(batch, bool(torch.isfinite(total))))
    return counts


def _blame(batch: Batch, finite: bool) -> str:
    """Name the rows of the workers whose loss is not finite."""
    found: list[list[str]] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(found, [] if finite else batch.row_ids)
    rows = sorted(row for part in found for row in part)
    return f"the loss is not finite; it came from among the rows {', '.join(rows)}"


def _sums(output: StepOutput, batch: Batch, norm: float) -> dict[str, Any]:
    sums: dict[str, Any] = {
        "ce": output.ce_sum.detach(),
        "tokens": output.num_response_tokens,
        "correct": output.correct,
        "rows": len(batch.row_ids),
        "grad_norm": norm,
        **workload(batch),
    }
    for role, terms in output.expert_sums.items():
        sums |= {f"{role}/{term}": value.detach() for term, value in terms.items()}
        sums[f"{role}/positions"] = output.num_positions[role]
    sums |= {f"{role}/log_variance": value.detach() for role, value in output.log_variances.items()}
    return sums | {f"{role}/grad": value**2 for role, value in output.block_grad_norms.items()}


class Window:
    """Sums since the last line of the log; ``flush`` makes a line of them on worker 0."""

    def __init__(self) -> None:
        self.sums: dict[str, Any] = defaultdict(float)
        self.steps = 0

    def add(self, sums: dict[str, Any]) -> None:
        """Add one step; tensors are read only when the window is flushed, so that no step waits for the device."""
        self.steps += 1
        for key, value in sums.items():
            self.sums[key] = self.sums[key] + value

    def flush(self, weights: dict[str, float]) -> dict[str, float]:
        """Means over the window and all workers (empty on other workers than 0). Every worker must call it.

        Per token: ``ce``, ``token_accuracy``. Per block position: ``<role>/<term>``. ``<role>/grad`` is the root mean
        square over steps of the norm of the weighted expert loss's gradient at the block. ``real_token_share`` is real
        positions over computed ones; ``rows``, ``audio_seconds`` and ``steps`` are totals. With a learned balance:
        the mean ``<role>/log_variance`` s_k, the effective ``<role>/weight`` that it makes, and ``loss`` with both.
        """
        world = dist.get_world_size()
        local = {key: float(value) for key, value in self.sums.items()}
        gathered: list[Any] | None = [None] * world if dist.get_rank() == 0 else None
        dist.gather_object(local, gathered)
        steps, self.sums, self.steps = self.steps, defaultdict(float), 0
        if gathered is None:
            return {}
        total: dict[str, float] = defaultdict(float)
        for part in gathered:
            for key, value in part.items():
                total[key] += value
        return _means(total, steps, world, weights)


def _means(total: dict[str, float], steps: int, world: int, weights: dict[str, float]) -> dict[str, float]:
    tokens = max(1.0, total["tokens"])
    line = {"loss": 0.0, "ce": total["ce"] / tokens, "token_accuracy": total["correct"] / tokens}
    learned = {role: total[key] / steps / world for role in weights if (key := f"{role}/log_variance") in total}
    effective = weights | {role: weights[role] * math.exp(-s) for role, s in learned.items()}
    line["loss"] = line["ce"]
    for key, value in sorted(total.items()):
        role, _, term = key.partition("/")
        if term == "grad":
            line[key] = math.sqrt(value / steps) / world
        elif term and term not in ("positions", "log_variance"):
            line[key] = value / max(1.0, total[f"{role}/positions"])
            line["loss"] += effective.get(role, 0.0) * line[key]
    for role, log_variance in learned.items():
        line |= {f"{role}/log_variance": log_variance, f"{role}/weight": effective[role]}
        line["loss"] += weights[role] * log_variance
    return line | {
        "grad_norm": total["grad_norm"] / steps / world,
        "rows": total["rows"],
        "steps": steps,
        "real_token_share": total["real_tokens"] / max(1.0, total["padded_tokens"]),
        "audio_seconds": total["audio_seconds"],
    }
