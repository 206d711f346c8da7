"""One clip, one model or one step of a run: the way from names to what ``reconstructions`` draws."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from coat_ray.config import BackboneConfig, RunConfig
from coat_ray.evaluation.asking.answers import EvaluationError
from coat_ray.evaluation.studies.kept_steps import KeptStep, find_step, kept_steps, open_kept
from coat_ray.inference.requests import AdapterSource
from coat_ray.registry.models import BASE, ModelRegistry
from coat_ray.registry.runs import RunRecord, RunRegistry
from coat_ray.storage import Storage


def model_source(name: str, storage: Storage) -> tuple[BackboneConfig, AdapterSource]:
    """Base and adapter of a registered model.

    Raises:
        EvaluationError: the base, which has no block.
        ModelNotFound: a name that the registry does not know.
    """
    if name == BASE:
        raise EvaluationError("the base has no block to look into; name a model trained with one")
    registry = ModelRegistry(storage)
    record = registry.resolve(name)
    return BackboneConfig(**record.base), AdapterSource.of(record, registry.adapter_folder(record))


@contextmanager
def step_source(run: str, step: int | None, storage: Storage) -> Iterator[tuple[BackboneConfig, AdapterSource]]:
    """Base and adapter of a run at one of its kept steps (None: the newest), for as long as the context is open.

    Raises:
        RunNotFound: no such run.
        EvaluationError: the step was not kept, or nothing was.
    """
    runs = RunRegistry(storage)
    record = runs.find(run)
    steps = kept_steps(runs.folder(run), RunConfig.model_validate(record.config))
    kept = steps[-1] if step is None else find_step(steps, step)
    base = BackboneConfig(**record.config["backbone"])
    with tempfile.TemporaryDirectory() as folder:
        yield (
            base,
            AdapterSource(
                f"{run} at step {kept.step}", _adapter(kept, record, Path(folder)), record.config["backbone"]
            ),
        )


def _adapter(kept: KeptStep, record: RunRecord, folder: Path) -> Path:
    """The step's adapter, written out of its checkpoint where there is none."""
    if kept.checkpoint is None:
        return kept.adapter
    opened = open_kept(kept, record, torch.device("cpu"))
    assert opened.coat is not None
    opened.coat.save_adapter(folder)
    return folder
