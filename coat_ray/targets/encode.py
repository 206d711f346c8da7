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
from coat_ray.audio.states import source_states
from coat_ray.config import ExpertConfig, ResourcesConfig
from coat_ray.experts.registry import load_expert
from coat_ray.targets.clips import ENTRY_SCHEMA, ClipEntry, ClipIndex
from coat_ray.targets.pipeline import Pipeline
from coat_ray.targets.plan import Claims, ClipRef, ClipWork, Plan, absolute, make_plan
from coat_ray.targets.pool import STORED, ExpertTask, LoadExpert
from coat_ray.targets.quarantine import CRASHED, QuarantineRow
from coat_ray.targets.report import EncodeProgress, EncodeReport, ExpertReport, OnProgress
from coat_ray.targets.store import TargetDataset, TargetStore, alignment_of

_INDEX_EVERY = 60.0  # seconds between additions to the clip index; what a dead job had not added is decoded again
_DIED = "its process died each time (out of memory, a crash in a decoder or expert); the log of the run says more"


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
    claims = _claims(datasets)
    states = source_states(clip.uri for clip in clips)
    plan = make_plan(clips, states, store.clips.find(states), claims)
    tally = _Tally(len(plan.work), store.clips, progress)
    if plan.work and tasks:
        try:
            lost = _run(Pipeline(tasks, resources, load, limits), plan.work, claims, tally)
            if lost:  # their processes died: one by one, so that only the culprits are refused
                lost = _run(Pipeline(tasks, resources, load, limits, alone=True), lost, _claims(datasets), tally)
                tally.give_up(lost)
        finally:
            tally.remember()
    return _report(
        clips=clips,
        plan=plan,
        experts=experts,
        datasets=datasets,
        tally=tally,
        seconds=time.perf_counter() - started,
    )


def _run(pipeline: Pipeline, work: Sequence[ClipWork], claims: Claims, tally: _Tally) -> list[ClipWork]:
    """Pass *work* through the pipeline; what did not come out."""
    for outcome in pipeline.stream(work, claims):
        tally.add(outcome)
    return [clip for clip in work if clip.uri not in tally.seen]


def _claims(datasets: Mapping[str, TargetDataset]) -> Claims:
    """Claims on what the datasets lack now."""
    return Claims({dataset.folder.name: _settled(dataset) for dataset in datasets.values()})


def open_datasets(
    experts: Mapping[str, ExpertConfig], store: TargetStore, load: LoadExpert = load_expert
) -> tuple[dict[str, TargetDataset], list[ExpertTask]]:
    """The dataset of each role, made where it is new, and one task per different dataset.

    Each expert is loaded once on the CPU: its fingerprint covers its weights.
    """
    datasets, tasks = {}, {}
    for role, config in experts.items():
        expert = load(config, "cpu")
        alignment = alignment_of(config, expert.spec)
        dataset = store.open_or_create(expert.spec, expert.fingerprint, expert.head, alignment, config.dtype)
        datasets[role] = dataset
        tasks[dataset.folder.name] = ExpertTask(config, dataset.folder, expert.spec.sample_rate, role)
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
        self.seen: set[str] = set()
        self.known: set[str] = set()
        self.bad: list[ClipEntry] = []

    def add(self, outcome: pa.Table) -> None:
        """Count one block."""
        self._add([ClipEntry(**row) for row in outcome.select(ENTRY_SCHEMA.names).to_pylist()])
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
        self._show()

    def give_up(self, clips: Sequence[ClipWork]) -> None:
        """Count clips whose process died each time, also when they were alone in it."""
        if clips:
            self._add([ClipEntry(c.uri, c.size, c.mtime_ns, None, 0, CRASHED, _DIED) for c in clips])
            self._show()

    def _add(self, entries: Sequence[ClipEntry]) -> None:
        self._new += entries
        self.done += len(entries)
        self.seen.update(entry.uri for entry in entries)
        self.known.update(entry.clip_id for entry in entries if entry.clip_id is not None)
        bad = [entry for entry in entries if entry.clip_id is None]
        self.bad += bad
        self._quarantined += len(bad)

    def _show(self) -> None:
        if self._progress:
            spent = time.perf_counter() - self._started
            self._progress(EncodeProgress(self.done, self._total, self.stored.total(), self._quarantined, spent))

    def remember(self) -> None:
        """Add the clips that were decoded since the last time to the index."""
        self._index.add(self._new)
        self._new, self._remembered = [], time.perf_counter()


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
