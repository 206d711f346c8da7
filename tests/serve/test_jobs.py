"""Granted leases become jobs, each once, whatever dies in between. The cluster is a list here."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from coat_ray.tenancy.ledger_tables import RunState
from serve.jobs import Dispatcher
from tests.serve.conftest import World


class Jobs:
    """What was submitted; an id that is taken is refused in Ray's words."""

    def __init__(self) -> None:
        self.submitted: dict[str, dict[str, Any]] = {}
        self.status: dict[str, str] = {}
        self.refuse = False

    def submit_job(self, *, entrypoint: str, submission_id: str, runtime_env: dict[str, object]) -> str:
        if self.refuse:
            raise RuntimeError("no agent is alive")
        if submission_id in self.submitted:
            raise RuntimeError(f"Job with submission_id {submission_id} already exists.")
        self.submitted[submission_id] = {"entrypoint": entrypoint, "runtime_env": runtime_env}
        return submission_id

    def get_job_status(self, job_id: str) -> str:
        status = self.status.get(job_id, "RUNNING")
        if status == "LOST":
            raise RuntimeError(f"Job {job_id} does not exist")
        if not status.isupper():
            raise RuntimeError(status)
        return status

    def stop_job(self, job_id: str) -> bool:
        self.status[job_id] = "STOPPED"
        return True

    def get_job_logs(self, job_id: str) -> str:
        return job_id


@pytest.fixture
def jobs() -> Jobs:
    return Jobs()


def dispatcher(world: World, jobs: Jobs) -> Dispatcher:
    return Dispatcher(world.platform.ledger, world.platform.storage, jobs, Path(), "http://127.0.0.1:1")


def test_a_granted_run_is_started_once_from_a_fixed_entry_point(world: World, jobs: Jobs) -> None:
    run = world.submit()
    assert dispatcher(world, jobs).step() == [run]
    assert dispatcher(world, jobs).step() == []
    [(submission, job)] = jobs.submitted.items()
    assert submission == f"{run}-1"
    program, config = job["entrypoint"].split(" --config ")
    assert program.endswith("jobs/train.py")
    assert json.loads(Path(config).read_text())["name"] == "trial"
    assert world.ask("GET", f"/runs/{run}").json()["ray_job_id"] == submission


def test_the_proof_of_a_lease_goes_by_a_private_file_and_not_by_the_environment(world: World, jobs: Jobs) -> None:
    run = world.submit()
    dispatcher(world, jobs).step()
    environment = jobs.submitted[f"{run}-1"]["runtime_env"]["env_vars"]
    proof = Path(environment["COAT_LEASE_FILE"])
    lease = world.platform.ledger.lease_of(run)
    assert lease is not None
    assert json.loads(proof.read_text()) == {"run": run, "token": lease.token}
    assert stat.S_IMODE(proof.stat().st_mode) == 0o600
    assert lease.token not in json.dumps(jobs.submitted)
    assert environment["COAT_HOME"].endswith("tenants/speech")


def test_a_dispatcher_that_died_before_it_wrote_the_job_down_starts_no_second(world: World, jobs: Jobs) -> None:
    run = world.submit()
    jobs.submitted[f"{run}-1"] = {}
    assert dispatcher(world, jobs).step() == [run]
    assert list(jobs.submitted) == [f"{run}-1"]


def test_a_cluster_that_takes_no_job_is_asked_again(world: World, jobs: Jobs) -> None:
    run = world.submit()
    jobs.refuse = True
    assert dispatcher(world, jobs).step() == []
    jobs.refuse = False
    assert dispatcher(world, jobs).step() == [run]


def test_a_job_that_waits_for_its_lease_by_itself_is_not_started(world: World, jobs: Jobs) -> None:
    body = {"config": {"name": "own", "stages": [{"name": "one", "steps": 2}]}}
    assert world.ask("POST", "/leases", json=body).status_code == 201
    assert dispatcher(world, jobs).step() == []
    assert jobs.submitted == {}


def test_a_run_whose_job_is_gone_waits_again_and_gets_another(world: World, jobs: Jobs) -> None:
    run = world.submit()
    dispatcher(world, jobs).step()
    for attempt, ended in enumerate(("FAILED", "LOST", "STOPPED"), start=1):
        jobs.status[f"{run}-{attempt}"] = ended
        assert dispatcher(world, jobs).step() == [run]
        assert list(jobs.submitted)[-1] == f"{run}-{attempt + 1}"
    assert world.ask("GET", f"/runs/{run}").json()["attempts"] == 4


def test_a_run_whose_jobs_die_again_and_again_is_given_up_and_says_so(world: World, jobs: Jobs) -> None:
    run = world.submit()
    for attempt in range(1, 6):
        assert dispatcher(world, jobs).step() == [run]
        jobs.status[f"{run}-{attempt}"] = "FAILED"
    assert dispatcher(world, jobs).step() == []
    found = world.ask("GET", f"/runs/{run}").json()
    assert (found["state"], found["reason"]) == ("failed", "its job ended without a word (FAILED)")


def test_a_job_that_ended_properly_is_not_taken_for_dead(world: World, jobs: Jobs) -> None:
    run = world.submit()
    dispatcher(world, jobs).step()
    lease = world.platform.ledger.lease_of(run)
    assert lease is not None
    world.platform.ledger.release(run, lease.token, RunState.DONE)
    jobs.status[f"{run}-1"] = "SUCCEEDED"
    assert dispatcher(world, jobs).step() == []
    assert world.ask("GET", f"/runs/{run}").json()["state"] == "done"


def test_an_attempt_is_ended_before_the_next_begins(world: World, jobs: Jobs) -> None:
    run = world.submit()
    dispatcher(world, jobs).step()
    world.platform.ledger.died(run, 1, "no sign of life")
    assert dispatcher(world, jobs).step() == []
    assert jobs.status == {f"{run}-1": "STOPPED"}
    assert dispatcher(world, jobs).step() == [run]
    first, second = (job["runtime_env"]["env_vars"]["COAT_LEASE_FILE"] for job in jobs.submitted.values())
    assert first != second
    assert json.loads(Path(first).read_text())["token"] != json.loads(Path(second).read_text())["token"]


def test_the_end_of_a_cluster_speaks_against_no_run(world: World, jobs: Jobs) -> None:
    run = world.submit()
    for attempt in range(1, 8):
        assert dispatcher(world, jobs).step() == [run]
        jobs.status[f"{run}-{attempt}"] = "LOST"
    assert dispatcher(world, jobs).step() == [run]


def test_a_run_that_cannot_be_looked_after_keeps_no_other_waiting(world: World, jobs: Jobs) -> None:
    first, second = world.submit(), world.submit()
    (world.platform.storage.submissions / f"{first}.yaml").mkdir(parents=True)
    assert dispatcher(world, jobs).step() == [second]


def test_a_ray_that_does_not_answer_about_a_job_takes_nothing_back(world: World, jobs: Jobs) -> None:
    run = world.submit()
    dispatcher(world, jobs).step()
    jobs.status[f"{run}-1"] = "no agent is alive"
    assert dispatcher(world, jobs).step() == []
    assert world.ask("GET", f"/runs/{run}").json()["state"] == "starting"
