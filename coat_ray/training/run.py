"""Train one arm of a run on the cluster: find or make its record, run the workers, register what comes out."""

from __future__ import annotations

import contextlib
import signal
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import ray.train
import ray.train.torch
from ray.train import FailureConfig, ScalingConfig, TrainingFailedError

from coat_ray.config import Arm, ConfigError, ResourcesConfig, RunConfig
from coat_ray.corpus.manifest import Manifest, read_manifest
from coat_ray.registry.metrics import read_metrics
from coat_ray.registry.models import ModelRecord, ModelRegistry
from coat_ray.registry.runs import RunRecord, RunRegistry
from coat_ray.storage import DEFAULT_TENANT, Storage, locked
from coat_ray.targets.store import TargetStore
from coat_ray.training.errors import TrainingStoppedError, TrainingYieldedError
from coat_ray.training.lineage import ingredients
from coat_ray.training.progress import MetricsWriter, shown_progress
from coat_ray.training.task import OpenTargets, Parts, WorkerTask
from coat_ray.training.tracking import check_tracking, open_sinks
from coat_ray.training.worker import train_worker

MAX_FAILURES = 1000
"""A bound that only Ray needs: workers that begin and get no further are given up long before (see ``attempts.py``).

Workers that cannot be started at all are tried again without end: they may be waiting for a node.
"""

YIELD_POLL_SECONDS = 0.5

QUIET = {"PYTHONWARNINGS": "ignore::FutureWarning", "TQDM_DISABLE": "1"}
"""Environment of the workers: deprecations inside libraries and bars of several processes only hide the progress."""

TRAIN_SPLIT = "train.jsonl"


@dataclass(frozen=True)
class RunResult:
    """Where an arm lies and what its last log line said; ``model`` is empty while it is only paused."""

    run_id: str
    folder: Path
    adapter: Path
    model: str
    metrics: dict[str, Any]


def train_arm(
    config: RunConfig,
    arm: Arm,
    *,
    corpus: Path,
    storage: Storage,
    datasets: Mapping[str, str] | None = None,
    skip_rows: Iterable[str] = (),
    tenant: str = DEFAULT_TENANT,
    open_targets: OpenTargets | None = None,
    build: Callable[[WorkerTask], Parts] | None = None,
    give_way: threading.Event | None = None,
    until: int | None = None,
    alias: bool = True,
    show: Callable[[str], None] = print,
) -> RunResult:
    """Train one arm, or continue it, or give its result back when it is done. Ray must be running.

    Args:
        config: the experiment.
        arm: "coat", or "sft": the same rows and steps without block and experts.
        corpus: folder with the manifest of the training split.
        storage: where targets, runs and models lie; every worker must see it.
        datasets: role -> fingerprint of its targets in the store.
        skip_rows: rows left out because a clip is in quarantine; the same for every arm.
        tenant: owner of the run and of the model.
        open_targets: finds each worker's targets; None: in the store.
        build: makes plan, model and collator in each worker; None: the real ones.
        give_way: once it is set, the run writes a checkpoint after its present step and ends.
        until: pause after this step, where it is not the last: with a checkpoint and the adapter as it is then. The
            next call continues.
        alias: whether the arm's name is to mean this model from now on.
        show: takes lines of progress.

    Raises:
        ConfigError: fewer rows in a batch than workers, or a weighted expert without targets.
        TrainingStoppedError: training cannot go on, or another job trains this run; the message says why.
        TrainingYieldedError: it gave way; the next call continues it.
        KeyboardInterrupt: the run was interrupted; the next call continues it.
    """
    datasets = dict(datasets or {}) if arm == "coat" else {}
    _check(config, arm, datasets)
    offload = config.deepspeed.offload_optimizer or config.deepspeed.offload_parameters
    if offload and not config.resources.gpus_per_worker:
        show("deepspeed.offload_* has no effect: without a GPU everything is in the memory of the CPU already")
    manifest = read_manifest(corpus / TRAIN_SPLIT)
    skipped = frozenset(skip_rows)
    runs = RunRegistry(storage, tenant)
    parents = {"corpus": manifest.fingerprint, **{f"targets/{role}": digest for role, digest in datasets.items()}}
    if skipped:
        parents["skipped rows"] = ",".join(sorted(skipped))
    record = runs.create(config, arm, parents)
    task = WorkerTask(
        config=config,
        arm=arm,
        fingerprint=record.fingerprint,
        folder=runs.folder(record.id),
        manifest=corpus / TRAIN_SPLIT,
        targets=storage.targets,
        datasets=datasets,
        skip_rows=skipped,
        open_targets=open_targets,
        build=build,
        until=until if until is not None and until < config.total_steps else None,
    )
    if record.state != "done":
        with _only_trainer(record, task.folder), _passed_on(give_way, task.yield_note):
            paused = _train(task, runs, record, show)
        if paused is not None:
            return RunResult(record.id, task.folder, paused, "", read_metrics(runs.metrics(record.id))[-1])
        model = _register(task, storage, tenant, record, manifest, alias=alias)
        last = read_metrics(runs.metrics(record.id))[-1]
        record = runs.update(record.id, state="done", result={"model": model.ref, "metrics": last})
    return RunResult(record.id, task.folder, task.adapter, record.result["model"], record.result["metrics"])


def _check(config: RunConfig, arm: Arm, datasets: Mapping[str, str]) -> None:
    check_tracking(config.tracking)
    if config.training.batch_rows is not None and config.training.batch_rows < config.resources.train_workers:
        raise ConfigError(
            f"training.batch_rows is {config.training.batch_rows}, fewer than the "
            f"{config.resources.train_workers} workers of resources.train_workers"
        )
    wanted = {role for stage in config.stages for role in stage.active if role in config.experts}
    if arm == "coat" and (missing := sorted(wanted - set(datasets))):
        raise ConfigError(f"no targets for {', '.join(missing)}; encode them first")


def _train(task: WorkerTask, runs: RunRegistry, record: RunRecord, show: Callable[[str], None]) -> Path | None:
    """Train to the end, or to where it pauses; then the adapter of that step."""
    paused = None if task.until is None else task.snapshot(task.until)
    if paused is not None and paused.exists():
        return paused
    task.stop_note.prepare()
    task.attempts.forget()
    runs.update(record.id, state="running")
    metrics = runs.metrics(record.id)
    try:
        with shown_progress(metrics, task.arm, task.config.total_steps, show), _interrupts_as_before():
            _trainer(task, metrics).fit()
    except TrainingFailedError as error:
        reason = task.stop_note.read() or f"its workers could not be kept running: {error}"
        raise _failed(runs, record, reason) from error
    except BaseException:
        runs.update(record.id, state="interrupted")
        raise
    if (note := task.stop_note.read()) is not None:
        raise _failed(runs, record, note)
    if not task.adapter.exists():
        runs.update(record.id, state="interrupted")
        if paused is not None and paused.exists():
            return paused
        if task.yield_note.exists():
            raise TrainingYieldedError(f"run {record.id} gave way; it goes on where it stopped")
        raise KeyboardInterrupt  # Ray ends an interrupted run without an error
    return None


@contextlib.contextmanager
def _only_trainer(record: RunRecord, folder: Path) -> Iterator[None]:
    """The same experiment has one folder, however often it is submitted: two jobs must not write into it."""
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(locked(folder / "driver.lock", wait=False))
        except BlockingIOError:
            taken = f"run {record.id} is being trained by another job"
            raise TrainingStoppedError(f"{taken}; the same command gives its result once that has ended") from None
        yield


@contextlib.contextmanager
def _passed_on(give_way: threading.Event | None, note: Path) -> Iterator[None]:
    """Tell the workers, who look at a file, what the driver hears."""
    note.unlink(missing_ok=True)
    ended = threading.Event()

    def pass_on() -> None:
        while give_way is not None and not ended.is_set():
            if give_way.wait(YIELD_POLL_SECONDS):
                note.touch()
                return

    thread = threading.Thread(target=pass_on, daemon=True, name="yield")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextlib.contextmanager
def _interrupts_as_before() -> Iterator[None]:
    """Ray Train leaves its own handler of SIGINT behind, which ends the process with 0 once the run is over."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _failed(runs: RunRegistry, record: RunRecord, reason: str) -> TrainingStoppedError:
    with contextlib.suppress(OSError):  # a full disk is the reason already, or comes next
        runs.update(record.id, state="failed", result={"error": reason})
    return TrainingStoppedError(f"run {record.id} stopped: {reason}")


def _trainer(task: WorkerTask, metrics: Path) -> ray.train.torch.TorchTrainer:
    resources = task.config.resources
    return ray.train.torch.TorchTrainer(
        train_worker,
        train_loop_config={"task": task},
        torch_config=ray.train.torch.TorchConfig(backend="nccl" if resources.gpus_per_worker else "gloo"),
        scaling_config=_scaling(resources),
        run_config=ray.train.RunConfig(  # type: ignore[call-arg]  # Ray's stubs still show the class of Train v1
            name=f"attempt-{uuid.uuid4().hex[:8]}",  # Ray would resume a known name; our checkpoints do that
            storage_path=str(task.folder / "ray"),
            failure_config=FailureConfig(max_failures=MAX_FAILURES),
            callbacks=[MetricsWriter(metrics, partial(open_sinks, task.config.tracking, task.folder))],  # type: ignore[list-item]
            worker_runtime_env={"env_vars": QUIET},
            logging_config=ray.train.LoggingConfig(log_level="WARNING"),
        ),
    )


def _scaling(resources: ResourcesConfig) -> ScalingConfig:
    each = {"CPU": resources.cpus_per_worker}
    if resources.gpus_per_worker:
        each["GPU"] = resources.gpus_per_worker
    return ScalingConfig(
        num_workers=resources.train_workers, use_gpu=bool(resources.gpus_per_worker), resources_per_worker=each
    )


def _register(
    task: WorkerTask, storage: Storage, tenant: str, record: RunRecord, manifest: Manifest, *, alias: bool
) -> ModelRecord:
    """Make a model of the adapter, or find the one that an interrupted call already made."""
    models = ModelRegistry(storage, tenant)
    for known in models.list():
        if known.lineage.get("run") == record.id:
            return known
    store = TargetStore(task.targets)
    specs = [store.dataset(digest).spec for digest in task.datasets.values()]
    return models.add(
        f"{task.config.name}-{task.arm}",
        task.adapter,
        base=task.config.backbone.model_dump(mode="json"),
        ingredients=ingredients(task.config.backbone, task.config.corpus.name, manifest.rows, specs),
        alias=task.arm if alias else None,
        lineage={"run": record.id, "parents": record.parents},
    )
