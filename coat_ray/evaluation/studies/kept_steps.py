"""A model as it was on the way: every step of a run whose adapter or checkpoint is still there.

A run keeps its last two checkpoints, and with ``training.snapshot_every`` the adapter of every so many steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from coat_ray.config import BackboneConfig, RunConfig
from coat_ray.evaluation.asking.answers import EvaluationError
from coat_ray.model.coat import CoatModel
from coat_ray.model.devices import usable_device
from coat_ray.model.opening import OpenModel
from coat_ray.registry.runs import RunRecord
from coat_ray.training.balance import balanced
from coat_ray.training.checkpoint import read_checkpoint
from coat_ray.training.engine import trainable
from coat_ray.training.state import load_values
from coat_ray.training.task import ADAPTER, CHECKPOINTS, SNAPSHOTS


@dataclass(frozen=True)
class KeptStep:
    """One step of a run. ``adapter``: its adapter, or one of the same shape to put ``checkpoint`` into."""

    step: int
    adapter: Path
    checkpoint: Path | None = None


def kept_steps(folder: Path, config: RunConfig) -> list[KeptStep]:
    """What a run's folder still holds, in the order of training; an adapter goes before a checkpoint of its step.

    Raises:
        EvaluationError: nothing yet that could be opened.
    """
    adapters = {int(path.name): path for path in (folder / SNAPSHOTS).glob("[0-9]*") if path.name.isdecimal()}
    if (folder / ADAPTER).is_dir():
        adapters[config.total_steps] = folder / ADAPTER
    if not adapters:
        raise EvaluationError(
            f"{folder} holds no adapter yet: train to the end, or with training.snapshot_every=N to look in before"
        )
    shape = adapters[max(adapters)]
    checkpoints = {int(path.name.removeprefix("step-")): path for path in (folder / CHECKPOINTS).glob("step-*")}
    missing = {step: KeptStep(step, shape, path) for step, path in checkpoints.items() if step not in adapters}
    kept = {step: KeptStep(step, path) for step, path in adapters.items()} | missing
    return [kept[step] for step in sorted(kept)]


def find_step(steps: list[KeptStep], step: int) -> KeptStep:
    """The one that was asked for.

    Raises:
        EvaluationError: it was not kept; the message says which were.
    """
    for kept in steps:
        if kept.step == step:
            return kept
    raise EvaluationError(f"step {step} was not kept; there are {', '.join(str(kept.step) for kept in steps)}")


def open_kept(kept: KeptStep, record: RunRecord, device: torch.device | None = None) -> OpenModel:
    """Load the model as it was then, onto a device as ``open_model``.

    Raises:
        ValueError, OSError: its files are damaged, or belong to another model.
    """
    config = RunConfig.model_validate(record.config)
    model = CoatModel.load(BackboneConfig(**record.config["backbone"]), kept.adapter)
    if kept.checkpoint is not None:
        roles = {role for stage in config.stages for role in stage.active} if model.block else set()
        load_values(trainable(balanced(model, config, roles)), read_checkpoint(kept.checkpoint).state)
    model.to(device or usable_device())
    return OpenModel(f"{record.id} at step {kept.step}", model.backbone, model)
