"""Runs are found again, never doubled, and never half-written."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from coat_ray.config import RunConfig
from coat_ray.registry.runs import RunNotFound, RunRegistry, identity
from coat_ray.storage import Storage

CONFIG = RunConfig(name="trial", stages=[{"name": "one", "steps": 2, "weights": {"recon": 1.0}}])


@pytest.fixture
def runs(tmp_path):
    return RunRegistry(Storage(tmp_path))


def test_a_new_run_says_what_it_is_and_where_it_came_from(runs):
    record = runs.create(CONFIG, "coat", parents={"corpus": "abc"})
    assert record.id == f"trial-coat-{record.fingerprint[:8]}"
    assert record.state == "created"
    assert record.parents == {"corpus": "abc"}
    assert record.versions["python"].startswith("3.")
    assert RunConfig.model_validate(record.config) == CONFIG


def test_the_same_experiment_is_found_again_with_its_results(runs):
    first = runs.create(CONFIG, "coat")
    runs.update(first.id, state="done", result={"accuracy": 0.5})
    again = runs.create(CONFIG, "coat")
    assert (again.id, again.state, again.result) == (first.id, "done", {"accuracy": 0.5})
    assert len(runs.list()) == 1


@pytest.mark.parametrize(
    "change", [{"resources": {"train_workers": 4}}, {"evaluation": {"batch_rows": 2}}, {"arms": ["sft", "coat"]}]
)
def test_what_does_not_decide_the_result_does_not_make_another_run(change):
    assert identity(RunConfig(**{**CONFIG.model_dump(), **change}), "coat") == identity(CONFIG, "coat")


@pytest.mark.parametrize("change", [{"seed": 1}, {"optim": {"lr": 1e-3}}, {"lora": {"rank": 4}}])
def test_what_decides_the_result_makes_another_run(change):
    assert identity(RunConfig(**{**CONFIG.model_dump(), **change}), "coat") != identity(CONFIG, "coat")


def test_arm_and_parents_decide_the_result():
    marks = {identity(CONFIG, "coat"), identity(CONFIG, "sft"), identity(CONFIG, "coat", {"corpus": "x"})}
    assert len(marks) == 3


def test_results_are_merged_and_the_rest_stays(runs):
    record = runs.create(CONFIG, "coat")
    runs.update(record.id, result={"a": 1})
    changed = runs.update(record.id, state="running", result={"b": 2})
    assert changed.result == {"a": 1, "b": 2}
    assert changed.model_copy(update={"state": "created", "result": {}}) == record


def test_an_unknown_run_names_its_neighbours(runs):
    record = runs.create(CONFIG, "coat")
    with pytest.raises(RunNotFound, match=record.id):
        runs.find("trial-coat-00000000")


@pytest.mark.parametrize("name", ["../default", ".", "", "a/b"])
def test_a_run_id_is_never_a_path(runs, name):
    runs.create(CONFIG, "coat")
    with pytest.raises(RunNotFound):
        runs.find(name)


def test_a_folder_that_was_left_without_a_record_is_no_run(runs):
    record = runs.create(CONFIG, "coat")
    (runs.folder(record.id) / "record.json").unlink()
    assert runs.list() == []
    assert runs.create(CONFIG, "coat").state == "created"


def test_a_broken_record_says_which_file(runs):
    record = runs.create(CONFIG, "coat")
    (runs.folder(record.id) / "record.json").write_text("{")
    with pytest.raises(ValueError, match=r"record\.json is not a run record"):
        runs.find(record.id)


WRITER = """
import sys
from coat_ray.registry.runs import RunRegistry
from coat_ray.storage import Storage
from pathlib import Path
runs = RunRegistry(Storage(Path(sys.argv[1])))
count = 0
while True:
    count += 1
    runs.update(sys.argv[2], state="running", result={"count": count, "ballast": "x" * 20000})
    print(count, flush=True)
"""


def test_a_record_survives_kill_9_in_the_middle_of_writing(runs, tmp_path):
    record = runs.create(CONFIG, "coat")
    for _ in range(3):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), record.id], stdout=subprocess.PIPE)
        assert writer.stdout.readline()
        time.sleep(0.05)
        os.kill(writer.pid, signal.SIGKILL)
        writer.communicate()
        found = runs.find(record.id)
        assert found.result["count"] >= 1
        assert len(found.result["ballast"]) == 20000
    assert [json.loads(p.read_text())["id"] for p in tmp_path.rglob("record.json")] == [record.id]
