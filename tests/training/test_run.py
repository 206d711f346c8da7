"""Whole arms through real Ray Train and real DeepSpeed with two workers, on a toy model."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from coat_ray.config import Arm, ConfigError, RunConfig
from coat_ray.corpus.manifest import Message, Row, read_manifest, write_manifest
from coat_ray.experts.base import ExpertSpec
from coat_ray.model.batch import Batch, StepOutput
from coat_ray.registry.metrics import read_metrics
from coat_ray.registry.models import ModelRegistry
from coat_ray.registry.runs import RunRegistry
from coat_ray.storage import Storage, locked
from coat_ray.targets.store import TargetStore
from coat_ray.training.errors import TrainingStoppedError, TrainingYieldedError
from coat_ray.training.run import RunResult, train_arm
from coat_ray.training.stages import BatchSize, Plan, make_plan
from coat_ray.training.task import Parts, WorkerTask
from coat_ray.training.throughput import CLOCKED
from tests.training.toy import ToyModel, toy_batch

ROLES = ("pitch", "recon")
CONFIG = {
    "name": "toy",
    "stages": [
        {"name": "first", "steps": 5, "weights": {"recon": 1.0}},
        {"name": "second", "steps": 7, "weights": {"recon": 1.0, "pitch": 0.5}},
    ],
    "experts": {"pitch": {"model": "basic_pitch"}},
    "optim": {"lr": 1e-2, "head_lr": 1e-2},
    "training": {"batch_rows": 4, "checkpoint_every": 4, "log_every": 3},
}
Builder = Callable[[WorkerTask], Parts]


class Faulty(ToyModel):
    """A toy that runs into *fault* in its ``at``-th step, once in the life of ``marker``."""

    def __init__(self, fault: str, at: int, marker: Path) -> None:
        super().__init__(ROLES)
        self.fault, self.at, self.marker, self.calls = fault, at, marker, 0

    def forward(self, batch: Batch, active: tuple[str, ...] = ()) -> StepOutput:
        self.calls += 1
        output = super().forward(batch, active)
        if self.calls == self.at and torch.distributed.get_rank() == 1 and not self.marker.exists():
            self.marker.touch()
            if self.fault == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            output.ce_sum = output.ce_sum * float("nan")
        return output


def parts(task: WorkerTask, model: ToyModel, pause: float = 0.0) -> Parts:
    rows = read_manifest(task.manifest).rows
    config = task.config

    def collate(ids: Sequence[str], roles: Sequence[str], step: int) -> Batch:
        time.sleep(pause)
        return toy_batch(list(ids), tuple(roles))

    return Parts(toy_plan(rows, config), model, collate)


def toy_plan(rows: Sequence[Row], config: RunConfig) -> Plan:
    return make_plan(rows, [12] * len(rows), config.stages, BatchSize(config.training.batch_rows), seed=config.seed)


def build_sound(task: WorkerTask) -> Parts:
    return parts(task, ToyModel(ROLES))


def build_slow(task: WorkerTask) -> Parts:
    return parts(task, ToyModel(ROLES), pause=0.5)


def build_killed(task: WorkerTask) -> Parts:
    return parts(task, Faulty("kill", 7, task.folder / "killed"))


def build_nan(task: WorkerTask) -> Parts:
    return parts(task, Faulty("nan", 3, task.folder / "nan"))


def build_that_must_not_run(task: WorkerTask) -> Parts:
    raise AssertionError("a finished run was started again")


def config(**changes: Any) -> RunConfig:
    return RunConfig.model_validate(CONFIG | changes)


PITCH = ExpertSpec("basic_pitch", 22050, 86.0, 0.0, 4, "mse", "Apache-2.0", True, "test")


def arm(
    root: Path,
    build: Builder,
    name: Arm = "coat",
    run: RunConfig | None = None,
    *,
    give_way: threading.Event | None = None,
    until: int | None = None,
) -> RunResult:
    """Train in a home of its own on 20 text rows."""
    storage, corpus = Storage(root), root / "corpus"
    if not corpus.exists():
        corpus.mkdir(parents=True)
        turns = (Message(role="user", content="?"), Message(role="assistant", content="!"))
        write_manifest([Row(id=str(i), messages=turns, licence="CC0-1.0") for i in range(20)], corpus / "train.jsonl")
    datasets = {"pitch": TargetStore(storage.targets).open_or_create(PITCH, "expert", None, "block").fingerprint}
    return train_arm(
        run or config(),
        name,
        corpus=corpus,
        storage=storage,
        datasets=datasets,
        build=build,
        give_way=give_way,
        until=until,
    )


def final_state(result: RunResult) -> dict[str, Tensor]:
    return torch.load(result.adapter / "toy.pt")


def same_weights(left: RunResult, right: RunResult) -> bool:
    one, other = final_state(left), final_state(right)
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def curves(result: RunResult) -> list[dict[str, Any]]:
    """Every line of the metrics without what depends on the machine."""
    rows = read_metrics(result.folder / "metrics.jsonl")
    return [{key: value for key, value in row.items() if key not in CLOCKED} for row in rows]


@pytest.fixture(scope="module")
def straight(ray_cluster: str, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """A run that nothing disturbed."""
    return arm(tmp_path_factory.mktemp("straight"), build_sound)


def test_every_loss_term_is_logged_in_the_stage_that_has_it(straight: RunResult) -> None:
    lines = curves(straight)
    assert [(line["step"], line["steps"], line["stage"]) for line in lines] == [
        (3, 3, "first"),
        (4, 1, "first"),
        (5, 1, "first"),
        (6, 1, "second"),
        (8, 2, "second"),
        (9, 1, "second"),
        (12, 3, "second"),
    ]
    assert {"recon/mse", "recon/grad"} <= lines[0].keys()
    assert not any(key.startswith("pitch") for key in lines[0])
    assert {"recon/mse", "recon/grad", "pitch/mse", "pitch/grad", "ce", "token_accuracy", "lr"} <= lines[-1].keys()
    for line in lines:
        parts = line["ce"] + line["recon/mse"] + 0.5 * line.get("pitch/mse", 0.0)
        assert line["loss"] == pytest.approx(parts)
        assert line["rows"] == 4 * line["steps"]


def test_a_line_says_how_fast_it_was_and_what_it_cost(straight: RunResult) -> None:
    for line in read_metrics(straight.folder / "metrics.jsonl"):
        assert line["real_token_share"] == 1.0  # toy rows are equally long
        assert line["audio_seconds"] == pytest.approx(line["rows"] * 5 / 25)
        assert line["rows_per_second"] * line["seconds"] == pytest.approx(line["rows"])
        assert line["audio_hours_per_hour"] * line["seconds"] == pytest.approx(line["audio_seconds"])
        assert line["peak_rss_mib"] > 100
        assert "peak_gpu_mib" not in line


def test_a_finished_run_becomes_a_model_and_is_not_trained_again(straight: RunResult) -> None:
    root = straight.folder.parents[2]
    model = ModelRegistry(Storage(root)).resolve("coat")
    assert straight.model == model.ref == "toy-coat@1"
    assert model.lineage["run"] == straight.run_id
    again = arm(root, build_that_must_not_run)
    assert again == straight


def test_a_killed_worker_costs_steps_but_changes_nothing(straight: RunResult, tmp_path: Path) -> None:
    result = arm(tmp_path, build_killed)
    assert (result.folder / "killed").exists()
    assert same_weights(straight, result)
    assert curves(straight) == curves(result)


def test_a_killed_driver_leaves_a_run_that_goes_on(straight: RunResult, ray_cluster: str, tmp_path: Path) -> None:
    script = f"""
        import ray
        from pathlib import Path
        from tests.training.test_run import arm, build_slow
        ray.init(address={ray_cluster!r}, log_to_driver=False)
        arm(Path({str(tmp_path)!r}), build_slow)
    """
    driver = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)])
    checkpoints = tmp_path / "runs" / "default" / straight.run_id / "checkpoints"
    deadline = time.monotonic() + 120
    while not any(checkpoints.glob("step-*")):
        assert driver.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    driver.kill()
    driver.wait()
    assert not (checkpoints.parent / "adapter").exists()
    assert RunRegistry(Storage(tmp_path)).find(straight.run_id).state == "running"
    result = arm(tmp_path, build_sound)
    assert same_weights(straight, result)
    assert curves(straight) == curves(result)


def test_a_loss_that_is_not_finite_stops_and_names_the_rows_of_the_worker_that_met_it(
    straight: RunResult, tmp_path: Path
) -> None:
    rows = read_manifest(straight.folder.parents[2] / "corpus" / "train.jsonl").rows
    run = config()
    plan = toy_plan(rows, run)
    with pytest.raises(TrainingStoppedError) as stopped:
        arm(tmp_path, build_nan)
    assert str(stopped.value).endswith(f"rows {', '.join(sorted(plan.shard(2, 1, 2)[0]))}")
    record = RunRegistry(Storage(tmp_path)).find(straight.run_id)
    assert record.state == "failed"
    assert str(stopped.value) == f"run {record.id} stopped: {record.result['error']}"
    assert not (tmp_path / "runs" / "default" / straight.run_id / "adapter").exists()


def test_the_arm_without_a_block_sees_the_same_rows_and_no_expert(straight: RunResult, tmp_path: Path) -> None:
    result = arm(tmp_path, build_sound, "sft")
    assert [line["step"] for line in curves(result)] == [line["step"] for line in curves(straight)]
    assert not any("/" in key for line in curves(result) for key in line)
    assert result.model == "toy-sft@1"


def test_after_a_run_an_interrupt_is_what_it_was_before(straight: RunResult) -> None:
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_a_batch_smaller_than_the_number_of_workers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"training.batch_rows is 1, fewer than the 2 workers"):
        arm(tmp_path, build_sound, run=config(training={"batch_rows": 1}))


def test_an_expert_without_targets_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no targets for pitch; encode them first"):
        train_arm(config(), "coat", corpus=tmp_path, storage=Storage(tmp_path))


def test_a_run_that_is_asked_to_yield_stops_after_its_step_and_goes_on_exactly(
    straight: RunResult, tmp_path: Path
) -> None:
    give_way = threading.Event()
    give_way.set()
    with pytest.raises(TrainingYieldedError, match="gave way; it goes on where it stopped"):
        arm(tmp_path, build_slow, give_way=give_way)
    runs = RunRegistry(Storage(tmp_path))
    assert runs.find(straight.run_id).state == "interrupted"
    steps = [line["step"] for line in read_metrics(runs.metrics(straight.run_id))]
    assert 0 < steps[-1] < 12
    result = arm(tmp_path, build_sound)
    assert same_weights(straight, result)


def test_two_jobs_do_not_train_into_one_folder(straight: RunResult, tmp_path: Path) -> None:
    folder = RunRegistry(Storage(tmp_path)).folder(straight.run_id)
    folder.mkdir(parents=True)
    with (
        locked(folder / "driver.lock"),
        pytest.raises(TrainingStoppedError, match="is being trained by another job; the same command gives its result"),
    ):
        arm(tmp_path, build_that_must_not_run)
    assert RunRegistry(Storage(tmp_path)).find(straight.run_id).state == "created"


def test_a_run_that_pauses_leaves_its_adapter_and_goes_on_exactly(straight: RunResult, tmp_path: Path) -> None:
    paused = arm(tmp_path, build_sound, until=6)
    assert (paused.model, paused.metrics["step"]) == ("", 6)
    assert not same_weights(straight, paused)
    assert arm(tmp_path, build_that_must_not_run, until=6) == paused
    assert same_weights(straight, arm(tmp_path, build_sound))


def test_a_run_keeps_its_adapter_every_so_many_steps_and_is_the_same_run(straight: RunResult, tmp_path: Path) -> None:
    keeps = config(training={**CONFIG["training"], "snapshot_every": 6})
    result = arm(tmp_path, build_killed, run=keeps)
    snapshots = result.folder / "snapshots"
    assert [path.name for path in snapshots.iterdir()] == ["6"]  # the last step's is the adapter
    assert result.run_id == straight.run_id
    assert same_weights(straight, result)
    assert not torch.equal(torch.load(snapshots / "6" / "toy.pt")["tokens.delta"], final_state(result)["tokens.delta"])
