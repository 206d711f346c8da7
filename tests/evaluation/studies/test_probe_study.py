"""The probes from models' names to tables and curves, on a few clips of SoundWorld."""

from __future__ import annotations

import json

import pytest

from coat_ray.config import RunConfig
from coat_ray.evaluation.asking.answers import EvaluationError
from coat_ray.evaluation.studies.probe_study import study_probes
from coat_ray.evaluation.studies.states import BEFORE, THINK
from coat_ray.model.coat import CoatModel
from coat_ray.registry.licences import Ingredient
from coat_ray.registry.models import ModelRegistry
from coat_ray.registry.runs import RunRegistry
from coat_ray.storage import Storage

CONFIG = RunConfig.model_validate({"name": "toy", "stages": [{"name": "one", "steps": 30, "weights": {"recon": 1}}]})
TARGETS = {"pitch", "affect", "instrument"}


@pytest.fixture(scope="module")
def storage(tmp_path_factory) -> Storage:
    """A model with a block, untrained, whose run kept two steps."""
    storage = Storage(tmp_path_factory.mktemp("home"))
    runs = RunRegistry(storage)
    record = runs.create(CONFIG, "coat")
    model = CoatModel.create(CONFIG, block=True, specs={})
    for place in ("snapshots/10", "adapter"):
        model.save_adapter(runs.folder(record.id) / place)
    terms = [Ingredient("base", "embedded", "Apache-2.0", commercial_use=True)]
    ModelRegistry(storage).add(
        "toy-coat",
        runs.folder(record.id) / "adapter",
        base=CONFIG.backbone.model_dump(),
        ingredients=terms,
        alias="coat",
        lineage={"run": record.id},
    )
    return storage


@pytest.fixture(scope="module")
def study(storage):
    return study_probes(["base", "coat"], CONFIG, storage, curves=True, limit=24)


def test_every_model_is_probed_at_the_states_that_it_has(study):
    found = {(row.model, row.target, row.state) for row in study.rows}
    assert found == {(m, t, BEFORE) for m in ("base", "coat") for t in TARGETS} | {("coat", t, THINK) for t in TARGETS}
    for row in study.rows:
        assert 0 <= row.score.accuracy.value <= 1
        assert (row.score.fitted, row.score.scored) == (24, 24)


def test_the_curve_has_every_kept_step_and_ends_where_the_model_is(study):
    assert {(p.model, p.step) for p in study.curves} == {("coat", 10), ("coat", 30)}
    for row in (row for row in study.rows if row.model == "coat"):
        (last,) = [p for p in study.curves if (p.target, p.state, p.step) == (row.target, row.state, 30)]
        assert last.accuracy == row.score.accuracy


def test_the_report_has_tables_numbers_and_a_picture(study, tmp_path):
    markdown, data, picture = study.write(tmp_path)
    assert "random labels" in markdown.read_text()
    tables = json.loads(data.read_text())
    assert len(tables["probes"]) == len(study.rows)
    assert {"low", "high", "constant", "random_labels"} <= set(tables["probes"][0])
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_names_are_checked_before_anything_is_loaded(storage):
    with pytest.raises(EvaluationError, match="each once"):
        study_probes(["base", "base"], CONFIG, storage)
    with pytest.raises(LookupError, match="caot"):
        study_probes(["base", "caot"], CONFIG, storage)
