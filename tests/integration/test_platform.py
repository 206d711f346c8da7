"""The whole platform, with real jobs: of two teams one gives way, a driver is killed, and nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.own_platform import KEY, RUN_CPUS, OwnPlatform, small_run
from coat_ray.client import Client
from coat_ray.local.cluster import MARK

ROOM_FOR_TWO, STEPS = 2 * RUN_CPUS, 60

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


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnPlatform]:
    platform = OwnPlatform(tmp_path_factory.mktemp("home"), ROOM_FOR_TWO)
    yield platform
    platform.coat("down")


def until(condition: Callable[[], bool], seconds: float = 900) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def submitted(team: Client, seed: int) -> str:
    return str(team.post("/runs", {"config": small_run("trial", seed, STEPS)})["id"])


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


def test_the_first_start_shows_the_owners_key_once_and_a_second_start_changes_nothing(platform: OwnPlatform) -> None:
    first = platform.up()
    [key] = set(KEY.findall(first))
    assert "is up already" in platform.up()
    platform.coat("down")
    assert processes(platform) == []
    again = platform.up()
    assert f"http://127.0.0.1:{platform.port}" in again
    assert not KEY.findall(again)
    kept = [path for path in platform.home.rglob("*") if path.is_file() and path.stat().st_size < 10_000_000]
    assert [path.name for path in kept if key.encode() in path.read_bytes()] == ["platform.json"]


def test_a_borrower_gives_way_to_another_team_and_goes_on_exactly_although_its_driver_is_killed(
    platform: OwnPlatform,
) -> None:
    speech, music = platform.team("speech"), platform.team("music")
    elder, younger = submitted(speech, 0), submitted(speech, 1)
    until(lambda: step(speech, younger) > 0)
    wanted = submitted(music, 1)
    until(lambda: state(music, wanted) == "running")
    assert speech.get(f"/runs/{younger}")["attempts"] == 1
    assert state(speech, younger) == "queued"
    given_up_at = step(speech, younger)
    assert 0 < given_up_at < STEPS
    until(lambda: state(speech, younger) == "running")
    until(lambda: step(speech, younger) > given_up_at or state(speech, younger) == "done")
    for driver in drivers(younger):
        os.kill(driver, signal.SIGKILL)
    for team, run in ((speech, elder), (speech, younger), (music, wanted)):
        until(lambda team=team, run=run: state(team, run) in ("done", "failed"))
        assert team.get(f"/runs/{run}")["reason"] == ""
        assert state(team, run) == "done"
    assert adapter(platform, "speech", 1) == adapter(platform, "music", 1)


def test_a_run_goes_on_exactly_when_the_platform_ends_and_starts_again_under_it(platform: OwnPlatform) -> None:
    vision = platform.team("vision")
    run = submitted(vision, 1)
    until(lambda: step(vision, run) > 0)
    platform.coat("down")
    assert processes(platform) == []
    platform.up()
    until(lambda: state(vision, run) in ("done", "failed"))
    assert vision.get(f"/runs/{run}")["attempts"] == 2
    assert adapter(platform, "vision", 1) == adapter(platform, "music", 1)


def test_what_was_used_is_counted_and_the_end_leaves_no_process(platform: OwnPlatform) -> None:
    used = platform.coat("usage", "--json", key=platform.keys["speech"])
    assert "cpu_seconds" in used
    assert "music" not in used
    platform.coat("down")
    assert processes(platform) == []
