"""What may break under a run, through real Ray: workers, a node, the disk. Each time nothing is lost."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import ray
import torch.distributed as dist

from coat_ray.config import RunConfig
from coat_ray.model.batch import Batch, StepOutput
from coat_ray.registry.runs import RunRegistry
from coat_ray.storage import Storage
from coat_ray.training.attempts import WITHOUT_PROGRESS
from coat_ray.training.errors import TrainingStoppedError
from coat_ray.training.run import RunResult
from coat_ray.training.task import Parts, WorkerTask
from tests.training.test_run import ROLES, arm, build_sound, config, curves, parts, same_weights
from tests.training.toy import ToyModel

EVERY, KILLS = 4, 10
DIES_AT = [EVERY * number + number % EVERY for number in range(KILLS)]
LONG = [
    {"name": "first", "steps": 20, "weights": {"recon": 1.0}},
    {"name": "second", "steps": 24, "weights": {"recon": 1.0, "pitch": 0.5}},
]


class Noted(ToyModel):
    """A toy whose worker 1 writes down each step that it begins, and dies at the first visit of some."""

    def __init__(self, notes: Path, dies_at: Sequence[int]) -> None:
        super().__init__(ROLES)
        self.notes, self.dies_at, self.step = notes, dies_at, -1

    def forward(self, batch: Batch, active: tuple[str, ...] = ()) -> StepOutput:
        if dist.get_rank() == 1:
            with self.notes.open("a") as file:
                file.write(f"{self.step}\n")
            if self.step in self.dies_at and begun(self.notes).count(self.step) == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            self.step += 1
        return super().forward(batch, active)


def begun(notes: Path) -> list[int]:
    """Steps that worker 1 began, in order."""
    return [int(line) for line in notes.read_text().split()] if notes.exists() else []


def noted(task: WorkerTask, dies_at: Sequence[int] = (), pause: float = 0.0) -> Parts:
    model = Noted(task.folder / "begun.txt", dies_at)
    made = parts(task, model, pause)

    def collate(ids: Sequence[str], roles: Sequence[str], step: int) -> Batch:
        if model.step < 0:
            model.step = step
        return made.collate(ids, roles, step)

    return Parts(made.plan, model, collate)


def build_dying(task: WorkerTask) -> Parts:
    return noted(task, DIES_AT)


def build_noted_slowly(task: WorkerTask) -> Parts:
    return noted(task, pause=0.3)


def build_never(task: WorkerTask) -> Parts:
    raise RuntimeError("there is no such library")


def build_filling_the_disk(task: WorkerTask) -> Parts:
    made = parts(task, ToyModel(ROLES))

    def collate(ids: Sequence[str], roles: Sequence[str], step: int) -> Batch:
        if step == 11 and (task.folder / "fill").exists():  # made ahead, but after the checkpoint of 8 steps
            fill(task.folder / "filler")
        return made.collate(ids, roles, step)

    return Parts(made.plan, made.model, collate)


def fill(path: Path) -> None:
    """Take all the room that there is."""
    with path.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        for size in (65536, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"x" * size)


def steps_back(steps: Sequence[int]) -> list[int]:
    """How many steps were begun again each time."""
    return [before + 1 - after for before, after in itertools.pairwise(steps) if after <= before]


@pytest.fixture(scope="module")
def straight(ray_cluster: str, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """A run that nothing disturbed."""
    return arm(tmp_path_factory.mktemp("straight"), build_sound)


def test_ten_killed_workers_cost_at_most_the_steps_since_a_checkpoint(ray_cluster: str, tmp_path: Path) -> None:
    long = config(stages=LONG)
    undisturbed = arm(tmp_path / "straight", build_sound, run=long)
    result = arm(tmp_path / "killed", build_dying, run=long)
    steps = begun(result.folder / "begun.txt")
    back = steps_back(steps)
    assert len(back) == KILLS
    assert max(back) <= EVERY + 1
    assert same_weights(undisturbed, result)
    assert curves(undisturbed) == curves(result)


def test_a_run_that_gets_no_further_is_given_up_with_its_reason(ray_cluster: str, tmp_path: Path) -> None:
    with pytest.raises(TrainingStoppedError) as stopped:
        arm(tmp_path, build_never)
    assert f"{WITHOUT_PROGRESS} attempts in a row got no further than the checkpoint of step 0" in str(stopped.value)
    assert "there is no such library" in str(stopped.value)
    assert arm(tmp_path, build_sound).adapter.exists()


class Node:
    """A second Ray node on this machine: raylet and agents in a process group of their own."""

    def __init__(self, address: str, cpus: int) -> None:
        before = len(alive_nodes())
        command = [Path(sys.executable).with_name("ray"), "start", f"--address={address}", f"--num-cpus={cpus}"]
        command += ["--num-gpus=0", "--block", "--disable-usage-stats"]
        self.process = subprocess.Popen(
            command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until(lambda: len(alive_nodes()) > before)

    def lose(self) -> None:
        """As when the machine is switched off."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def alive_nodes() -> list[str]:
    return [node["NodeID"] for node in ray.nodes() if node["Alive"]]


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture
def nodes(ray_cluster: str) -> Iterator[Callable[[], Node]]:
    started: list[Node] = []

    def start() -> Node:
        started.append(Node(ray_cluster, cpus=8))
        return started[-1]

    yield start
    for node in started:
        node.lose()
    wait_until(lambda: len(alive_nodes()) == 1)


def test_a_lost_node_costs_steps_but_changes_nothing(
    straight: RunResult, nodes: Callable[[], Node], tmp_path: Path
) -> None:
    head = ray.cluster_resources()["CPU"]
    first = nodes()
    spread: RunConfig = config(resources={"train_workers": 2, "cpus_per_worker": head // 2 + 1})
    notes = tmp_path / "runs" / "default" / straight.run_id / "begun.txt"
    lost_at: list[int] = []

    def lose_one_get_another() -> None:
        wait_until(lambda: len(begun(notes)) > 6)
        lost_at.append(len(begun(notes)))
        first.lose()
        nodes()

    accident = threading.Thread(target=lose_one_get_another)
    accident.start()
    result = arm(tmp_path, build_noted_slowly, run=spread)
    accident.join()
    assert lost_at[0] <= 12
    back = steps_back(begun(notes))
    assert len(back) == 1
    assert back[0] <= EVERY + 1
    assert same_weights(straight, result)
    assert curves(straight) == curves(result)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", place], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("this user may not mount a small file system")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disk_ends_the_run_with_a_sentence_and_the_older_checkpoint_goes_on(
    straight: RunResult, small_disk: Path
) -> None:
    folder = small_disk / "runs" / "default" / straight.run_id
    folder.mkdir(parents=True)
    (folder / "fill").touch()
    with pytest.raises(TrainingStoppedError, match=r"No space left on device.*older ones are intact|no room to write"):
        arm(small_disk, build_filling_the_disk)
    assert sorted(path.name for path in (folder / "checkpoints").glob("step-*")) == ["step-00000004", "step-00000008"]
    (folder / "filler").unlink()
    (folder / "fill").unlink()
    result = arm(small_disk, build_filling_the_disk)
    assert same_weights(straight, result)
    assert curves(straight) == curves(result)
    assert RunRegistry(Storage(small_disk)).find(straight.run_id).state == "done"
