"""A run's steps, from snapshots, checkpoints and the adapter, and models as they were then."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from coat_ray.config import RunConfig
from coat_ray.evaluation.asking.answers import EvaluationError
from coat_ray.evaluation.studies.inside_study import step_source
from coat_ray.evaluation.studies.kept_steps import find_step, kept_steps, open_kept
from coat_ray.model.coat import CoatModel
from coat_ray.registry.runs import RunRecord, RunRegistry
from coat_ray.storage import Storage
from coat_ray.training.checkpoint import Progress, write_checkpoint
from coat_ray.training.engine import trainable

CONFIG = RunConfig.model_validate({"name": "toy", "stages": [{"name": "one", "steps": 30, "weights": {"recon": 1}}]})


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A run with a snapshot at 10, checkpoints at 10 and 20, an adapter at 30; each fills its LoRA with its step."""
    storage = Storage(tmp_path_factory.mktemp("home"))
    runs = RunRegistry(storage)
    record = runs.create(CONFIG, "coat")
    folder = runs.folder(record.id)
    model = CoatModel.create(CONFIG, block=True, specs={})
    for step, place in ((10, folder / "snapshots" / "10"), (20, None), (30, folder / "adapter")):
        with torch.no_grad():
            for _, parameter in trainable(model):
                parameter.fill_(step)
        if place:
            model.save_adapter(place)
        if step < 30:
            values = {f"value/{name}": p.detach().clone() for name, p in trainable(model)}
            write_checkpoint(folder / "checkpoints", values, Progress(step, 0, record.fingerprint, {}))
    return storage.root


@pytest.fixture(scope="module")
def record(home) -> RunRecord:
    (found,) = RunRegistry(Storage(home)).list()
    return found


def test_every_kept_step_opens_as_it_was(home, record):
    steps = kept_steps(RunRegistry(Storage(home)).folder(record.id), CONFIG)
    assert [(kept.step, kept.checkpoint is None) for kept in steps] == [(10, True), (20, False), (30, True)]
    for kept in steps:
        opened = open_kept(kept, record)
        assert opened.block
        assert {float(p.detach().mean()) for _, p in trainable(opened.coat)} == {float(kept.step)}


def test_a_step_that_was_not_kept_is_refused_with_those_that_were(home, record):
    steps = kept_steps(RunRegistry(Storage(home)).folder(record.id), CONFIG)
    with pytest.raises(EvaluationError, match="there are 10, 20, 30"):
        find_step(steps, 15)


def test_a_run_that_kept_nothing_says_how_to_keep_something(tmp_path):
    with pytest.raises(EvaluationError, match="snapshot_every"):
        kept_steps(tmp_path, CONFIG)


@pytest.mark.parametrize(("step", "found"), [(None, 30), (20, 20)])
def test_an_adapter_is_at_hand_for_each_step(home, record, step, found):
    with step_source(record.id, step, Storage(home)) as (base, source):
        model = CoatModel.load(base, source.folder)
        assert {float(p.detach().mean()) for _, p in trainable(model)} == {float(found)}
        assert f"at step {found}" in source.key
