"""What a worker is told (a task) and what it builds from that (parts), in every worker alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coat_ray.config import Arm, RunConfig, StageConfig
from coat_ray.model.batch import Batch
from coat_ray.training.attempts import Attempts
from coat_ray.training.lengths import row_lengths
from coat_ray.training.stages import BatchSize, Plan, make_plan
from coat_ray.training.stop_note import STOP_NOTE, StopNote

if TYPE_CHECKING:
    from coat_ray.corpus.manifest import Manifest, Row
    from coat_ray.model.backbones.base import FrontEnd
    from coat_ray.targets.store import TargetDataset, TargetStore

CHECKPOINTS, SNAPSHOTS, ADAPTER = "checkpoints", "snapshots", "adapter"
"""Folders of a run: to go on from, to look into, and what it was for."""

Collate = Callable[[Sequence[str], Iterable[str], int], Batch]
"""(row ids, roles, step) -> batch; without row ids a batch that teaches nothing."""

Steps = Callable[[], Sequence[Sequence[str]]]
OpenTargets = Callable[[RunConfig, "TargetStore", Mapping[str, str], "Manifest", Steps], "dict[str, TargetDataset]"]
"""(config, store, role -> fingerprint, manifest, rows of the steps to come) -> targets by role."""


def _needs_no_notice(steps: Sequence[Sequence[str]]) -> None:
    """What is stored can be read in any order."""


@dataclass(frozen=True)
class Parts:
    """Plan, model on the CPU, and the function that makes a Batch from row ids and roles.

    ``model`` is an ``nn.Module`` that is also ``engine.Trainable``. ``announce`` hears the rows of every step that this
    worker will ask ``collate`` for, before the first.
    """

    plan: Plan
    model: Any
    collate: Collate
    announce: Callable[[Sequence[Sequence[str]]], None] = _needs_no_notice


@dataclass(frozen=True)
class WorkerTask:
    """One arm of a run, as plain data: what a worker needs to know.

    ``datasets`` maps roles to target fingerprints in the store at ``targets``. ``skip_rows`` are rows whose clips are
    in quarantine. ``open_targets`` finds the targets (None: in the store), ``build`` makes the parts. After the step
    ``until``, before the last, the worker leaves a checkpoint and a snapshot of the adapter and ends.
    """

    config: RunConfig
    arm: Arm
    fingerprint: str
    folder: Path
    manifest: Path
    targets: Path
    datasets: Mapping[str, str] = field(default_factory=dict)
    skip_rows: frozenset[str] = frozenset()
    open_targets: OpenTargets | None = None
    build: Callable[[WorkerTask], Parts] | None = None
    until: int | None = None

    def snapshot(self, step: int) -> Path:
        """The adapter as it was after a step at which training paused, or that ``training.snapshot_every`` names."""
        return self.folder / SNAPSHOTS / str(step)

    def keeps(self, step: int) -> bool:
        """Whether the adapter is kept as it is after *step*; the last one is kept anyway."""
        every = self.config.training.snapshot_every
        return every is not None and step % every == 0 and step < self.config.total_steps

    @property
    def checkpoints(self) -> Path:
        """Folder of the run's checkpoints."""
        return self.folder / CHECKPOINTS

    @property
    def adapter(self) -> Path:
        """What the run is for; exists once training is done."""
        return self.folder / ADAPTER

    @property
    def stop_note(self) -> StopNote:
        """Why training cannot go on, where it cannot."""
        return StopNote(self.folder / STOP_NOTE)

    @property
    def yield_note(self) -> Path:
        """There while the run is asked to checkpoint and give way."""
        return self.folder / "yield"

    @property
    def attempts(self) -> Attempts:
        """Where this call's attempts started."""
        return Attempts(self.folder / "attempts.txt")

    def active(self, stage: StageConfig) -> tuple[str, ...]:
        """Roles whose losses count in a stage; none in the arm without a block."""
        return stage.active if self.arm == "coat" else ()


def stored_targets(
    config: RunConfig,  # noqa: ARG001 - one signature for all
    store: TargetStore,
    fingerprints: Mapping[str, str],
    manifest: Manifest,  # noqa: ARG001
    steps: Steps,  # noqa: ARG001
) -> dict[str, TargetDataset]:
    """The datasets of a store, whose frames can be read in any order."""
    return {role: store.dataset(fingerprint) for role, fingerprint in fingerprints.items()}


def build_coat(task: WorkerTask) -> Parts:
    """The real parts: manifest, target store and CoatModel."""
    from coat_ray.audio import DEFAULT_LIMITS  # noqa: PLC0415 - heavy, and only workers need it
    from coat_ray.corpus.manifest import read_manifest  # noqa: PLC0415
    from coat_ray.model.coat import CoatModel  # noqa: PLC0415
    from coat_ray.targets.store import TargetStore  # noqa: PLC0415
    from coat_ray.training.batches import Collator  # noqa: PLC0415

    config, block = task.config, task.arm == "coat"
    manifest = read_manifest(task.manifest)
    store = TargetStore(task.targets)
    coming: list[Sequence[str]] = []
    fingerprints = task.datasets if block else {}
    datasets = (task.open_targets or stored_targets)(config, store, fingerprints, manifest, lambda: coming)
    specs: dict[str, Any] = {role: (dataset.spec, dataset.load_head()) for role, dataset in datasets.items()}
    model = CoatModel.create(config, block=block, specs=specs)
    if config.training.activation_checkpointing:
        model.checkpoint_activations()
    if config.training.compile_layers:
        model.compile_layers()
    collate = Collator(
        manifest,
        model.front,
        datasets,
        block=block,
        limits=replace(DEFAULT_LIMITS, max_seconds=config.corpus.max_seconds),
        augment=config.augment,
        seed=config.seed,
    )
    rows = [row for row in manifest.rows if row.id not in task.skip_rows]
    return Parts(plan_rows(rows, model.front, config), model, collate, coming.extend)


def plan_rows(rows: Sequence[Row], front: FrontEnd, config: RunConfig) -> Plan:
    """The plan of a run over these rows."""
    training = config.training
    return make_plan(
        rows,
        row_lengths(rows, front, exact=bool(training.batch_tokens or training.micro_tokens)),
        config.stages,
        BatchSize(training.batch_rows, training.batch_tokens),
        seed=config.seed,
        mixture=config.corpus.mixture,
        max_repeats=config.corpus.max_repeats,
    )
