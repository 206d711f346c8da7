"""What is remembered of steps for the log: sums on each worker, means over all of them."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import torch.distributed as dist

from coat_ray.model.batch import Batch, StepOutput
from coat_ray.training.throughput import workload


class StepSums:
    """What a step adds to the log: sums over this worker's parts."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = defaultdict(float)

    def add(self, output: StepOutput, batch: Batch) -> None:
        """Add a part. Squared norms at the block add up, as the parts' positions are others."""
        part: dict[str, Any] = {
            "ce": output.ce_sum.detach(),
            "tokens": output.num_response_tokens,
            "correct": output.correct,
            "rows": len(batch.row_ids),
            **workload(batch),
        }
        for role, terms in output.expert_sums.items():
            part |= {f"{role}/{term}": value.detach() for term, value in terms.items()}
            part[f"{role}/positions"] = output.num_positions[role]
        part |= {f"{role}/grad": value**2 for role, value in output.block_grad_norms.items()}
        for key, value in part.items():
            self.values[key] = self.values[key] + value
        for role, value in output.log_variances.items():
            self.values[f"{role}/log_variance"] = value.detach()


class Window:
    """Sums since the last line of the log; ``flush`` makes a line of them on worker 0."""

    def __init__(self) -> None:
        self.sums: dict[str, Any] = defaultdict(float)
        self.steps = 0

    def add(self, step: StepSums) -> None:
        """Add one step; tensors are read only when the window is flushed."""
        self.steps += 1
        for key, value in step.values.items():
            self.sums[key] = self.sums[key] + value

    def flush(self, weights: dict[str, float]) -> dict[str, float]:
        """Means over the window and all workers (empty on other workers than 0). Every worker must call it.

        Per token: ``ce``, ``token_accuracy``. Per block position: ``<role>/<term>``. ``<role>/grad`` is the root mean
        square over steps of the norm of the weighted expert loss's gradient at the block. ``real_token_share`` is real
        positions over computed ones; ``rows``, ``audio_seconds`` and ``steps`` are totals. With a learned
        balance: the mean ``<role>/log_variance`` s_k, the effective ``<role>/weight`` that it makes, and ``loss`` with
        both.
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
