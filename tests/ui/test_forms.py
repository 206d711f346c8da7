"""A form from a schema: which fields it has, and the configuration that comes out of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from coat_ray.config import RunConfig, SweepConfig, load_config, validate
from ui.forms import COMMON, fields, filled, without

ROOT = Path(__file__).parents[2]
SCHEMAS = {"run": RunConfig.model_json_schema(), "sweep": SweepConfig.model_json_schema()}
SHIPPED = [("run", path) for path in sorted((ROOT / "jobs/configs").glob("*.yaml"))]
SHIPPED += [("sweep", path) for path in sorted((ROOT / "sweeps/configs").glob("*.yaml"))]
MODELS = {"run": RunConfig, "sweep": SweepConfig}


def shipped(kind, path):
    return load_config(path, MODELS[kind]).model_dump(mode="json", exclude_unset=True)


@pytest.mark.parametrize(("kind", "path"), SHIPPED, ids=[path.stem for _, path in SHIPPED])
def test_what_ships_comes_out_of_its_form_as_it_went_in(kind, path):
    config = shipped(kind, path)
    values = {field.path: field.value for field in fields(kind, SCHEMAS[kind], config)}
    again = filled(without(config, COMMON[kind]), values)
    assert validate(again, MODELS[kind], "form") == validate(config, MODELS[kind], "file")


def test_fields_say_what_the_schema_says():
    found = {field.path: field for field in fields("run", SCHEMAS["run"], shipped(*SHIPPED[1]))}
    assert found["arms"].choices == ("sft", "coat")
    assert found["seed"].kind == "integer"
    assert found["seed"].minimum == 0
    assert "sft" in found["arms"].about
    assert found["stages.1.steps"].label == "stage 2, steps"


def test_a_stage_that_is_not_there_has_no_field():
    config = {"name": "a", "stages": [{"name": "only", "steps": 3}]}
    paths = [field.path for field in fields("run", SCHEMAS["run"], config)]
    assert "stages.0.steps" in paths
    assert "stages.1.steps" not in paths


def test_what_is_changed_in_the_form_is_what_is_sent_and_empty_fields_are_not():
    config = {"name": "a", "stages": [{"name": "only", "steps": 3, "weights": {"recon": 1.0}}]}
    made = filled(config, {"stages.0.steps": 7, "optim.lr": 0.5, "training.batch_rows": None, "name": "b"})
    assert made == {
        "name": "b",
        "stages": [{"name": "only", "steps": 7, "weights": {"recon": 1.0}}],
        "optim": {"lr": 0.5},
    }
    assert config["stages"][0]["steps"] == 3
