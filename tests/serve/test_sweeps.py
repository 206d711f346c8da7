"""Sweeps come over HTTP as runs do: checked to their last value, confined like every one of their runs."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from coat_ray.config import SweepConfig, load_config
from serve.jobs import Dispatcher
from tests.serve.conftest import CONFIG, SWEEP, World
from tests.serve.served import Printed


def sweep(**changes: Any) -> dict[str, Any]:
    return {"config": SWEEP | changes}


def test_a_sweep_is_one_run_that_asks_for_one_of_its_trials(world: World) -> None:
    run = world.ask("POST", "/runs", json={"config": CONFIG}).json()
    made = world.ask("POST", "/sweeps", json=sweep(resources={"concurrency": 8}))
    assert made.status_code == 201, made.text
    assert made.json()["kind"] == "sweep"
    assert made.json()["resources"] == run["resources"]
    assert {one["id"] for one in world.ask("GET", "/runs").json()["data"]} == {run["id"], made.json()["id"]}
    assert world.ask("GET", f"/runs/{made.json()['id']}/metrics").json() == {"data": {}}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"run": "jobs/configs/embedded.yaml"}, "send the run itself"),
        ({"run": CONFIG | {"corpus": {"name": "../other"}}}, "is no name of a corpus"),
        (
            {"space": {"corpus.name": {"choice": ["builtin_that_is_not", "soundworld"]}}},
            "no corpus 'builtin_that_is_not'",
        ),
        ({"space": {"backbone.weights": {"choice": ["embedded", "/etc/passwd"]}}}, "/etc/passwd"),
        ({"space": None, "variants": [{"name": "a", "set": ["tracking.mlflow=http://10.0.0.1"]}]}, "10.0.0.1"),
        ({"set": ["tracking.mlflow=http://10.0.0.1"]}, "10.0.0.1"),
        ({"set": ["name=${oc.env:HOME}"]}, "refers to something else"),
        ({"space": {"optim.lrr": {"choice": [1, 2]}}}, "no 'lrr' there"),
        ({"space": {"optim.lr": {"choice": list(range(1, 102))}}}, "more than 100"),
        ({"space": {"resources.train_workers": {"choice": [1, 8]}}}, "trials of several sizes"),
        ({"space": None, "variants": [{"name": "a", "set": ["resources.train_workers=8"]}]}, "trials of several sizes"),
        ({"resources": {"concurrency": 1001}}, "at most 1000 trials"),
    ],
)
def test_what_no_run_may_be_no_trial_may_be(world: World, changes: dict[str, Any], said: str) -> None:
    answer = world.ask("POST", "/sweeps", json=sweep(**changes))
    assert answer.status_code == 422, answer.text
    assert said in answer.json()["error"]["message"]
    assert world.ask("GET", "/runs").json()["data"] == []


def test_its_job_gets_the_sweep_as_it_was_sent(world: World) -> None:
    started: list[str] = []

    class Cluster(Printed):
        def submit_job(self, *, entrypoint: str, submission_id: str, runtime_env: dict[str, object]) -> str:
            started.append(entrypoint)
            return submission_id

    sent = sweep(search={"algorithm": "random", "trials": 2}, space={"optim.lr": {"uniform": [0.1, 0.2]}})
    run = world.ask("POST", "/sweeps", json=sent).json()["id"]
    platform = world.platform
    Dispatcher(platform.ledger, platform.storage, Cluster(), platform.storage.root, "http://127.0.0.1:1").step()
    [command] = started
    assert "sweeps/run.py" in command
    file = platform.storage.submissions / f"{run}.yaml"
    assert yaml.safe_load(file.read_text()) == sent["config"]
    assert load_config(file, SweepConfig) == SweepConfig.model_validate(sent["config"])


def test_a_report_can_be_read_and_can_do_nothing(world: World) -> None:
    answer = world.ask("GET", f"/sweeps/{world.swept()}/report")
    assert (answer.status_code, answer.text) == (200, "<p>the report</p>")
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")


def test_there_is_no_report_of_what_is_not_done_or_no_sweep(world: World) -> None:
    waiting = world.ask("POST", "/sweeps", json=sweep()).json()["id"]
    for run, said in ((waiting, "no report yet"), (world.submit(), "is no sweep")):
        answer = world.ask("GET", f"/sweeps/{run}/report")
        assert answer.status_code == 422
        assert said in answer.json()["error"]["message"]


def test_a_report_behind_a_link_is_not_given(world: World) -> None:
    run = world.swept()
    page = world.platform.storage.tenant("speech").root / "sweeps" / "sweep-1" / "report.html"
    secret = world.platform.storage.root / "secret"
    secret.write_text("secret")
    page.unlink()
    page.symlink_to(secret)
    assert world.ask("GET", f"/sweeps/{run}/report").status_code == 404


@pytest.mark.parametrize("folder", ["/etc", "../../music", "gone", "..", "", {"a": 1}])
def test_what_a_job_calls_its_folder_leads_nowhere_else(world: World, folder: Any) -> None:
    answer = world.ask("GET", f"/sweeps/{world.swept(folder)}/report")
    assert answer.status_code == 404
    assert "is no longer there" in answer.json()["error"]["message"]


def test_a_sweep_asks_for_its_largest_trial(world: World) -> None:
    run = CONFIG | {
        "experts": {"pitch": {"model": "basic_pitch"}, "sed": {"model": "panns"}},
        "stages": [{"name": "one", "steps": 2, "weights": {"pitch": 1.0, "sed": 1.0}}],
        "resources": {"train_workers": 1, "encode_actors": 8, "encode_pools": {"pitch": {}, "sed": {}}},
    }
    whole = world.ask("POST", "/runs", json={"config": run}).json()
    variants = [{"name": "without", "set": ["stages.0.weights.sed=0"]}, {"name": "with"}]
    asked = [
        world.ask("POST", "/sweeps", json=sweep(run=run, space=None, variants=some)).json()["resources"]["cpus"]
        for some in (variants, variants[:1])
    ]
    assert asked[1] < asked[0] == whole["resources"]["cpus"]
