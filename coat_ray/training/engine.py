"""DeepSpeed around the model: parameter groups, the ZeRO configuration, and each group's learning rate and moments.

A head of an inactive expert has learning rate 0, and starts with fresh Adam moments in the stage that activates it, so
its bias correction counts its own steps and nothing that happened before.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from coat_ray.config import RunConfig
from coat_ray.model.batch import Batch, StepOutput
from coat_ray.training.balance import BALANCE

HEAD = "heads."
MOST_AT_ONCE = 500_000_000
"""Elements of gradients that workers send each other in one piece; DeepSpeed's default."""


class Trainable(Protocol):
    """What training asks of the model (``CoatModel`` is one)."""

    def forward(self, batch: Batch, active: tuple[str, ...]) -> StepOutput:
        """Every loss term of one worker's part of a batch."""

    def trainable_parameters(self) -> dict[str, list[tuple[str, nn.Parameter]]]:
        """Parameters by group: lora, tokens, heads (``heads.<role>.…``), perhaps balance (``balance.<role>.…``)."""

    def save_adapter(self, folder: Path) -> None:
        """Write what was trained."""


@dataclass(frozen=True)
class Group:
    """Parameters that share a learning rate and an Adam step count; ``role`` is set for what belongs to an expert."""

    name: str
    role: str | None
    lr: float
    weight_decay: float
    parameters: tuple[tuple[str, nn.Parameter], ...]


def parameter_groups(model: Trainable, config: RunConfig) -> list[Group]:
    """LoRA, token rows, one group for each expert's head and each log-variance; empty ones are left out."""
    by_kind, optim = model.trainable_parameters(), config.optim
    rates = {"lora": optim.lr, "tokens": optim.token_lr or optim.lr}
    groups = [Group(kind, None, rate, optim.weight_decay, tuple(by_kind[kind])) for kind, rate in rates.items()]
    groups += _by_role(by_kind["heads"], HEAD, optim.head_lr, optim.weight_decay)
    groups += _by_role(by_kind.get("balance", []), BALANCE, config.balance.lr or optim.head_lr, 0.0)
    return [group for group in groups if group.parameters]


def _by_role(named: list[tuple[str, nn.Parameter]], prefix: str, lr: float, weight_decay: float) -> list[Group]:
    """One group for each role of parameters named ``<prefix><role>.…``."""
    members: dict[str, list[tuple[str, nn.Parameter]]] = {}
    for name, parameter in named:
        members.setdefault(name.removeprefix(prefix).split(".", 1)[0], []).append((name, parameter))
    return [Group(prefix + role, role, lr, weight_decay, tuple(members[role])) for role in sorted(members)]


def trainable(model: Trainable) -> list[tuple[str, nn.Parameter]]:
    """Everything that trains, by name."""
    return [item for group in model.trainable_parameters().values() for item in group]


class Engine:
    """The DeepSpeed engine of one worker with its parameter groups."""

    def __init__(self, model: nn.Module, config: RunConfig, world: int, device: torch.device) -> None:
        deepspeed = _import_deepspeed(device)
        self.groups = parameter_groups(model, config)  # type: ignore[arg-type]
        optim = config.optim
        adam = torch.optim.AdamW(
            [
                {"params": [p for _, p in group.parameters], "lr": group.lr, "weight_decay": group.weight_decay}
                for group in self.groups
            ],
            betas=optim.betas,
        )
        trained = sum(p.numel() for _, p in self.named_parameters())
        settings = deepspeed_config(config, world, device, trained)
        self.deepspeed, *_ = deepspeed.initialize(
            model=model, optimizer=adam, config=settings, dist_init_required=False
        )
        self.adam, self.grad_clip, self.device = adam, optim.grad_clip, device
        self._create_moments()

    def forward(self, batch: Batch, active: tuple[str, ...]) -> StepOutput:
        """The model's forward pass."""
        return self.deepspeed(batch, active)

    def backward(self, loss: Tensor, *, last: bool = True) -> None:
        """Gradients of one part of a batch; they add up until the *last* part (in the precision of training)."""
        self.deepspeed.set_gradient_accumulation_boundary(last)
        self.deepspeed.backward(loss)
        if not last:
            self.deepspeed.step()  # only counts the part

    def step(self) -> float:
        """Clip and update; returns the gradient norm before clipping."""
        if self.deepspeed.zero_optimization():
            self.deepspeed.step()
            return float(self.deepspeed.get_global_grad_norm())
        norm = nn.utils.clip_grad_norm_([p for _, p in self.named_parameters()], self.grad_clip)
        self.deepspeed.step()
        return float(norm)

    def gathered(self) -> AbstractContextManager[None]:
        """A context in which worker 0 sees whole parameters, under ZeRO-3 too."""
        import deepspeed  # noqa: PLC0415 - see _import_deepspeed

        members = [p for _, p in self.named_parameters()]
        return deepspeed.zero.GatheredParameters(members, enabled=self.deepspeed.zero_optimization_stage() == 3)

    def close(self) -> None:
        """Release hooks and communication buffers before the process group goes away."""
        self.deepspeed.destroy()

    def set_learning_rates(self, factor: float, active: Iterable[str]) -> None:
        """Scale every group's learning rate; what belongs to an inactive role gets 0."""
        active = set(active)
        for group, settings in zip(self.groups, self.adam.param_groups, strict=True):
            settings["lr"] = group.lr * factor if group.role is None or group.role in active else 0.0

    def forget_moments(self, roles: Iterable[str]) -> None:
        """Give what belongs to *roles* fresh Adam moments and a step count of 0."""
        roles = set(roles)
        for group, state in self._states():
            if group.role in roles:
                for tensor in state.values():
                    tensor.zero_()

    def adam_steps(self) -> dict[str, float]:
        """Adam's step count of each group."""
        return {group.name: float(state["step"]) for group, state in self._states()}

    def set_adam_steps(self, steps: dict[str, float]) -> None:
        """Restore Adam's step counts."""
        for group, state in self._states():
            state["step"].fill_(steps[group.name])

    def named_parameters(self) -> list[tuple[str, nn.Parameter]]:
        """Everything that trains, in a fixed order."""
        return [item for group in self.groups for item in group.parameters]

    def _states(self) -> list[tuple[Group, dict[str, Tensor]]]:
        return [(self.groups[index], self.adam.state[flat]) for index, flat in self._flat_parameters()]

    def _flat_parameters(self) -> list[tuple[int, Tensor]]:
        """What Adam really updates on this worker: partitions under ZeRO, the parameters themselves without."""
        zero = self.deepspeed.optimizer
        if hasattr(zero, "fp32_partitioned_groups_flat"):  # ZeRO-3 empties Adam's own list between steps
            flats = enumerate(zero.fp32_partitioned_groups_flat)
            return [(zero.sub_group_to_group_id[sub], flat) for sub, flat in flats]
        return [(i, flat) for i, group in enumerate(self.adam.param_groups) for flat in group["params"]]

    def _create_moments(self) -> None:
        """Adam makes its moments at the first step; a checkpoint needs a place to go to before that."""
        for _, flat in self._flat_parameters():
            moments = {key: torch.zeros_like(flat, requires_grad=False) for key in ("exp_avg", "exp_avg_sq")}
            self.adam.state[flat] = {"step": torch.tensor(0.0), **moments}
        link = getattr(self.deepspeed.optimizer, "_lazy_init_hp_params_optimizer_state", None)
        if link is not None:
            link()


def deepspeed_config(config: RunConfig, world: int, device: torch.device, trained: int) -> dict[str, Any]:
    """The DeepSpeed JSON for a run: ZeRO stage, precision, clipping. Batches come from the plan, not from DeepSpeed.

    bfloat16 needs the float32 copy of the weights that only ZeRO keeps, so stage 0 becomes stage 1 there. Gradients are
    sent in pieces of at most *trained* elements, which is all of them: a piece's buffer is allocated in full, and
    DeepSpeed's own of 500 million elements takes one or two gigabytes of a GPU for an adapter of a few million.
    """
    bf16 = config.backbone.dtype == "bfloat16"
    stage = max(config.deepspeed.zero_stage, 1 if bf16 else 0)
    zero: dict[str, Any] = {"stage": stage, "reduce_bucket_size": min(trained, MOST_AT_ONCE)}
    if device.type != "cpu":  # where there is no GPU, everything is in the memory of the CPU
        for wanted, what in (
            (config.deepspeed.offload_optimizer, "offload_optimizer"),
            (config.deepspeed.offload_parameters, "offload_param"),
        ):
            if wanted:
                zero[what] = {"device": "cpu", "pin_memory": True}
    return {
        "train_micro_batch_size_per_gpu": max(1, (config.training.batch_rows or 1) // world),  # for its records only
        "gradient_accumulation_steps": 1,
        "gradient_clipping": config.optim.grad_clip if stage else 0.0,
        "zero_optimization": zero,
        "zero_force_ds_cpu_optimizer": False,
        "bf16": {"enabled": bf16},
        "steps_per_print": 10**9,
        "wall_clock_breakdown": False,
    }


def _import_deepspeed(device: torch.device) -> Any:
    """DeepSpeed for a device, without the noise and without a C++ build.

    When imported, it picks its accelerator and lets a compiler look for libaio, whose complaint nobody needs. Its
    shared-memory collectives, which a CPU user would have to compile, serve tensor-parallel inference only.
    """
    os.environ["DS_ACCELERATOR"] = device.type
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as unread:
        os.dup2(unread.fileno(), 2)
        try:
            import deepspeed  # noqa: PLC0415
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    return deepspeed
