"""What a form is made from: configurations that ship, their schema, and the arms of a run."""

from __future__ import annotations

from coat_ray.config import RunConfig, SweepConfig, validate
from tests.serve.conftest import CONFIG


def test_every_shipped_configuration_can_be_submitted_as_it_is_served(world):
    served = world.ask("GET", "/configs", "viewer").json()["data"]
    assert {entry["kind"] for entry in served} == {"run", "sweep"}
    for entry in served:
        model = RunConfig if entry["kind"] == "run" else SweepConfig
        config = validate(entry["config"], model, entry["name"])
        assert entry["about"]
        assert entry["kind"] == "run" or not isinstance(config.run, str)


def test_the_schema_is_the_configurations_own(world):
    for kind, model in (("run", RunConfig), ("sweep", SweepConfig)):
        assert world.ask("GET", f"/configs/schema/{kind}").json() == model.model_json_schema()
    assert world.ask("GET", "/configs/schema/other").status_code == 422


def test_both_need_a_key(world):
    for path in ("/configs", "/configs/schema/run"):
        assert world.ask("GET", path, "none").status_code == 401


def test_arms_of_a_run_are_its_own_tenants(world):
    run = world.ask("POST", "/runs", json={"config": CONFIG}).json()["id"]
    assert world.ask("GET", f"/runs/{run}/arms").json() == {"data": {}}
    assert world.ask("GET", f"/runs/{run}/arms", "stranger").status_code == 404
