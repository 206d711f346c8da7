"""The whole platform, with real jobs: of two teams one gives way, a driver is killed, and nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from benchmarks.own_platform import KEY, ROOT, RUN_CPUS, OwnPlatform, small_run
from coat_ray.client import Client
from coat_ray.local.cluster import MARK
from sweeps.results import read_results

ROOM_FOR_TWO, STEPS, MANY_STEPS, SWEEP_STEPS = 2 * RUN_CPUS, 60, 2000, 150

pytestmark = pytest.mark.slow


def processes(platform: OwnPlatform) -> list[str]:
    """Processes that belong to this platform."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            variables = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        ours = f"COAT_HOME={platform.home}".encode() in variables
        if ours and any(variable.startswith(MARK.encode()) for variable in variables):
            found.append(folder.name)
    return found


def adapter(platform: OwnPlatform, team: str, seed: int) -> bytes:
    """The weights of a team's only run with that seed."""
    runs = (platform.home / "tenants" / team / "runs").rglob("record.json")
    [folder] = [record.parent for record in runs if json.loads(record.read_text())["seed"] == seed]
    [weights] = folder.glob("adapter/**/adapter_model.safetensors")
    return weights.read_bytes()


def until(condition: Callable[[], bool], seconds: float = 900) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def submitted(team: Client, seed: int, steps: int = STEPS) -> str:
    return str(team.post("/runs", {"config": small_run("trial", seed, steps)})["id"])


def state(team: Client, run: str) -> str:
    return str(team.get(f"/runs/{run}")["state"])


def step(team: Client, run: str) -> int:
    rows = team.get(f"/runs/{run}/metrics")["data"].get("sft", [])
    return rows[-1]["step"] if rows else 0


def drivers(run: str) -> list[int]:
    """Processes of the job that carries a run."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if any(part.endswith(b"jobs/train.py") for part in command) and any(run.encode() in part for part in command):
            found.append(int(folder.name))
    return found


def ended(team: Client, run: str) -> tuple[str, str]:
    """State and reason of a run, when it has ended."""
    until(lambda: state(team, run) in ("done", "failed", "stopped"))
    found = team.get(f"/runs/{run}")
    return found["state"], found["reason"]


@pytest.fixture(scope="module")
def first_start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[OwnPlatform, str]]:
    """A platform, and what its first start printed."""
    config = OmegaConf.load(ROOT / "serve" / "config.yaml")
    [engine] = [one for app in config.applications for one in app.get("deployments", []) if one.name == "engine"]
    engine.ray_actor_options = {"num_cpus": RUN_CPUS}  # none of them is there for runs
    file = tmp_path_factory.mktemp("config") / "serve.yaml"
    OmegaConf.save(config, file)
    platform = OwnPlatform(tmp_path_factory.mktemp("home"), ROOM_FOR_TWO + RUN_CPUS, config=file)
    try:
        yield platform, platform.up()
    finally:
        platform.coat("down")


@pytest.fixture
def platform(first_start: tuple[OwnPlatform, str]) -> OwnPlatform:
    """The platform, up, whatever the test before did with it."""
    platform, _ = first_start
    if not processes(platform):
        platform.up()
    return platform


@pytest.fixture(scope="module")
def undisturbed(first_start: tuple[OwnPlatform, str]) -> bytes:
    """The weights that a run ends with when nothing happens to it."""
    platform, _ = first_start
    if not processes(platform):
        platform.up()
    team = platform.team("undisturbed")
    run = submitted(team, 1)
    assert ended(team, run) == ("done", "")
    assert team.get(f"/runs/{run}")["attempts"] == 1
    return adapter(platform, "undisturbed", 1)


def test_the_first_start_shows_the_owners_key_once_and_a_second_start_changes_nothing(
    first_start: tuple[OwnPlatform, str], platform: OwnPlatform
) -> None:
    [key] = set(KEY.findall(first_start[1]))
    assert "is up already" in platform.up()
    platform.coat("down")
    assert processes(platform) == []
    again = platform.up()
    assert f"http://127.0.0.1:{platform.port}" in again
    assert not KEY.findall(again)
    kept = [path for path in platform.home.rglob("*") if path.is_file() and path.stat().st_size < 10_000_000]
    assert [path.name for path in kept if key.encode() in path.read_bytes()] == ["platform.json"]


def test_a_borrower_gives_way_to_another_team_and_goes_on_exactly_although_its_driver_is_killed(
    platform: OwnPlatform, undisturbed: bytes
) -> None:
    owner, speech, music = platform.owner(), platform.team("speech"), platform.team("music")
    elder = submitted(speech, 0, MANY_STEPS)  # the room that music gets can only be the younger's
    until(lambda: state(speech, elder) == "running")
    younger = submitted(speech, 1)
    until(lambda: step(speech, younger) > 0)
    wanted = submitted(music, 2)
    until(lambda: state(music, wanted) in ("running", "done"))
    given_up_at = step(speech, younger)
    until(lambda: step(speech, younger) > given_up_at or state(speech, younger) == "done")
    for driver in drivers(younger):
        os.kill(driver, signal.SIGKILL)
    assert ended(speech, younger) == ("done", "")
    assert ended(music, wanted) == ("done", "")
    assert speech.get(f"/runs/{younger}")["attempts"] >= 3
    asked = owner.get("/audit", action="lease.ask", target=f"run/{younger}")["data"]
    assert {line["reason"] for line in asked} == {f"asked to make room for {wanted}"}
    assert owner.get("/audit", action="lease.ask", target=f"run/{elder}")["data"] == []
    assert adapter(platform, "speech", 1) == undisturbed
    speech.post(f"/runs/{elder}/stop")
    assert ended(speech, elder)[0] == "stopped"


def test_a_run_goes_on_exactly_when_the_platform_ends_and_starts_again_under_it(
    platform: OwnPlatform, undisturbed: bytes
) -> None:
    vision = platform.team("vision")
    run = submitted(vision, 1)
    until(lambda: step(vision, run) > 0)
    platform.coat("down")
    assert processes(platform) == []
    platform.up()
    assert ended(vision, run) == ("done", "")
    assert vision.get(f"/runs/{run}")["attempts"] == 2
    assert adapter(platform, "vision", 1) == undisturbed


def test_a_sweep_makes_room_with_one_of_its_trials_and_ends_with_both(platform: OwnPlatform) -> None:
    owner, search, guests = platform.owner(), platform.team("search"), platform.team("guests")
    sweep = {
        "name": "rates",
        "run": small_run("trial", 0, SWEEP_STEPS),
        "space": {"optim.lr": {"choice": [0.001, 0.0001]}},
        "objective": {"metric": "score", "rows_per_task": 1},
        "resources": {"concurrency": 2},
    }
    run = str(search.post("/sweeps", {"config": sweep})["id"])
    until(lambda: search.get("/me")["used"]["trials"] == 2)
    guest = submitted(guests, 0)
    assert ended(guests, guest) == ("done", "")
    assert ended(search, run) == ("done", "")
    lines = owner.get("/audit", action="lease.", tenant="search")["data"]
    asked = {line["target"] for line in lines if f"asked to make room for {guest}" in (line["reason"] or "")}
    assert asked
    assert f"run/{run}" not in asked  # one of its trials, not the sweep
    assert search.get(f"/runs/{run}")["attempts"] == 1
    [table] = (platform.home / "tenants" / "search" / "sweeps").glob("*/trials.jsonl")
    assert [(trial.state, trial.steps) for trial in read_results(table)] == [("done", SWEEP_STEPS)] * 2
    assert "Sweep rates" in search.get(f"/sweeps/{run}/report")
    used = {line["run"]: line["cpu_seconds"] for line in search.get("/usage", by=["run"])["data"]}
    assert used.keys() - {None} == {run}  # without a run: what is stored
    assert used[run] > 0


def test_what_was_used_is_counted_and_the_end_leaves_no_process(platform: OwnPlatform, undisturbed: bytes) -> None:
    used = json.loads(platform.coat("usage", "--json", key=platform.keys["undisturbed"]))
    assert undisturbed
    assert {line["tenant"] for line in used} == {"undisturbed"}
    assert sum(line["cpu_seconds"] for line in used) > 0
    platform.coat("down")
    assert processes(platform) == []
