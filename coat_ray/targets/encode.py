"""Make the targets of a corpus: compare it with the store, run the pipeline over what is missing, say what came out.

Blocks of clips stream through the pipeline; each becomes one part file per expert, whole or not at all. A job that dies
loses the blocks in flight and nothing else, and the next run computes only missing pairs.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from coat_ray.audio import DEFAULT_LIMITS, AudioLimits
from coat_ray.config import ExpertConfig, ResourcesConfig
from coat_ray.experts.registry import load_expert
from coat_ray.targets.clips import ENTRY_SCHEMA, ClipEntry, ClipIndex
from coat_ray.targets.pipeline import Pipeline
from coat_ray.targets.plan import Claims, ClipRef, Plan, absolute, make_plan
from coat_ray.targets.pool import STORED, ExpertTask, LoadExpert
from coat_ray.targets.quarantine import CRASHED, QuarantineRow
from coat_ray.targets.report import EncodeProgress, EncodeReport, ExpertReport, OnProgress
from coat_ray.targets.store import TargetDataset, TargetStore

_INDEX_EVERY = 60.0  # seconds between additions to the clip index; what a dead job had not added is decoded again


def encode_corpus(
    clips: Sequence[ClipRef],
    experts: Mapping[str, ExpertConfig],
    store: TargetStore,
    resources: ResourcesConfig,
    progress: OnProgress | None = None,
    *,
    load: LoadExpert = load_expert,
    limits: AudioLimits = DEFAULT_LIMITS,
) -> EncodeReport:
    """Store the targets that *clips* still lack of *experts* (role -> config). Ray must be running.

    Raises:
        ValueError: an expert that cannot be loaded, or a cluster too small for *resources*.
        EncodeError: the pipeline could not go on.
    """
    started = time.perf_counter()
    clips = [ClipRef(absolute(clip.uri), clip.seconds) for clip in clips]
    datasets, tasks = open_datasets(experts, store, load)
    claims = Claims({dataset.folder.name: _settled(dataset) for dataset in datasets.values()})
    plan = make_plan(clips, store.clips.find(clip.uri for clip in clips), claims)
    tally = _Tally(len(plan.work), store.clips, progress)
    if plan.work and tasks:
        try:
            for outcome in Pipeline(tasks, resources, load, limits).stream(plan.work, claims):
                tally.add(outcome)
        finally:
            tally.remember()
        tally.check()
    return _report(
        clips=clips,
        plan=plan,
        experts=experts,
        datasets=datasets,
        tally=tally,
        seconds=time.perf_counter() - started,
    )


def open_datasets(
    experts: Mapping[str, ExpertConfig], store: TargetStore, load: LoadExpert = load_expert
) -> tuple[dict[str, TargetDataset], list[ExpertTask]]:
    """The dataset of each role, made where it is new, and one task per different dataset.

    Each expert is loaded once on the CPU: its fingerprint covers its weights.
    """
    datasets, tasks = {}, {}
    for role, config in experts.items():
        expert = load(config, "cpu")
        dataset = store.open_or_create(expert.spec, expert.fingerprint, expert.head, config.alignment)
        datasets[role] = dataset
        tasks[dataset.folder.name] = ExpertTask(config, dataset.folder, expert.spec.sample_rate)
    return datasets, list(tasks.values())


def _settled(dataset: TargetDataset) -> set[str]:
    """Clips that need no work: stored, or refused for a reason that will not go away."""
    reasons = dataset.quarantine.reasons()
    return dataset.clip_ids() | {clip_id for clip_id, reason in reasons.items() if reason != CRASHED}


class _Tally:
    """Adds up the outcomes as they arrive and keeps the clip index."""

    def __init__(self, total: int, index: ClipIndex, progress: OnProgress | None) -> None:
        self._total, self._index, self._progress = total, index, progress
        self._new: list[ClipEntry] = []
        self._started = self._remembered = time.perf_counter()
        self.done = self._quarantined = 0
        self.stored: Counter[str] = Counter()
        self.seconds: dict[str, float] = defaultdict(float)
        self.known: set[str] = set()
        self.bad: list[ClipEntry] = []

    def add(self, outcome: pa.Table) -> None:
        """Count one block."""
        entries = [ClipEntry(**row) for row in outcome.select(ENTRY_SCHEMA.names).to_pylist()]
        self._new += entries
        self.done += len(entries)
        self.known.update(entry.clip_id for entry in entries if entry.clip_id is not None)
        bad = [entry for entry in entries if entry.clip_id is None]
        self.bad += bad
        self._quarantined += len(bad)
        for column in outcome.column_names:
            kind, _, dataset = column.partition(":")
            if kind == "state":
                states = Counter(state for state in outcome.column(column).to_pylist() if state is not None)
                self.stored[dataset] += states[STORED]
                self._quarantined += states.total() - states[STORED]
            elif kind == "seconds":
                self.seconds[dataset] += pc.sum(outcome.column(column)).as_py() or 0.0
        if time.perf_counter() - self._remembered > _INDEX_EVERY:
            self.remember()
        if self._progress:
            spent = time.perf_counter() - self._started
            self._progress(EncodeProgress(self.done, self._total, self.stored.total(), self._quarantined, spent))

    def remember(self) -> None:
        """Add the clips that were decoded since the last time to the index."""
        self._index.add(self._new)
        self._new, self._remembered = [], time.perf_counter()

    def check(self) -> None:
        """Every clip that went in has come out."""
        if self.done != self._total:
            raise RuntimeError(f"{self._total} clips went into the pipeline and {self.done} came out; run it again")


def _report(
    *,
    clips: Sequence[ClipRef],
    plan: Plan,
    experts: Mapping[str, ExpertConfig],
    datasets: Mapping[str, TargetDataset],
    tally: _Tally,
    seconds: float,
) -> EncodeReport:
    """Say what the store holds now of this corpus."""
    ids = plan.known | tally.known
    bad = [QuarantineRow(None, c.uri, c.reason or CRASHED, c.message or "") for c in (*plan.bad, *tally.bad)]
    quarantine, roles = list(bad), {}
    for role, dataset in datasets.items():
        present = dataset.clip_ids() & ids
        refused = [row for row in dataset.quarantine.rows() if row.clip_id in ids - present]
        quarantine += refused
        name = dataset.folder.name
        roles[role] = ExpertReport(
            model=experts[role].model,
            fingerprint=dataset.fingerprint,
            width=dataset.spec.width,
            rate=dataset.meta.rate,
            present=len(present),
            stored=tally.stored[name],
            quarantined=len(refused),
            seconds=tally.seconds[name],
        )
    files = len({clip.uri for clip in clips})
    return EncodeReport(files, len(bad), len(ids), tally.done, seconds, roles, quarantine)
