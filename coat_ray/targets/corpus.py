"""The targets of a whole corpus, as a run's configuration asks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from coat_ray.audio import DEFAULT_LIMITS
from coat_ray.config import RunConfig
from coat_ray.corpus.manifest import Manifest, Row, read_manifest
from coat_ray.experts.registry import load_expert
from coat_ray.targets.encode import encode_corpus
from coat_ray.targets.pipeline import Pipeline
from coat_ray.targets.plan import ClipRef, absolute
from coat_ray.targets.pool import ExpertTask, LoadExpert
from coat_ray.targets.report import EncodeReport, OnProgress
from coat_ray.targets.store import TargetDataset, TargetStore, alignment_of, target_fingerprint
from coat_ray.targets.streaming import StreamedTargets, TargetStream, stream_blocks

TRAIN, VALIDATION = "train.jsonl", "validation.jsonl"
"""Splits that need targets: to learn from, and to measure distillation on. The test split is only asked about."""


def encode_run(
    config: RunConfig,
    corpus: Path,
    store: TargetStore,
    progress: OnProgress | None = None,
    load: LoadExpert = load_expert,
) -> EncodeReport:
    """Store what the splits in the folder *corpus* still lack of the run's experts. Ray must be running.

    Where the run streams its targets, only the validation split is stored.
    """
    splits = (VALIDATION,) if config.resources.stream_targets else (TRAIN, VALIDATION)
    clips = [clip for name in splits for clip in clip_refs(read_manifest(corpus / name))]
    limits = replace(DEFAULT_LIMITS, max_seconds=config.corpus.max_seconds)
    return encode_corpus(clips, config.experts, store, config.resources, progress, load=load, limits=limits)


def target_fingerprints(config: RunConfig, load: LoadExpert = load_expert) -> set[str]:
    """Fingerprints of the datasets that a run reads; loads its experts, because their weights are part of them."""
    found = set()
    for wanted in config.experts.values():
        expert = load(wanted, "cpu")
        found.add(target_fingerprint(expert.fingerprint, alignment_of(wanted, expert.spec), wanted.dtype))
    return found


def streamed_targets(
    config: RunConfig,
    store: TargetStore,
    fingerprints: Mapping[str, str],
    manifest: Manifest,
    steps: Callable[[], Sequence[Sequence[str]]],
    *,
    load: LoadExpert = load_expert,
) -> dict[str, TargetDataset]:
    """Targets by role that the run's experts make while they are read, for the rows of the steps to come.

    Args:
        config: the run, with its experts and their resources.
        store: holds facts and heads of the experts' datasets, and no frames of these clips.
        fingerprints: role -> dataset.
        manifest: the rows and where their clips lie.
        steps: row ids of each step that this worker still has to compute; asked when the first target is.
        load: how an expert is loaded.
    """
    datasets = {role: store.dataset(fingerprint) for role, fingerprint in fingerprints.items()}
    tasks = {
        dataset.folder.name: ExpertTask(config.experts[role], dataset.folder, dataset.spec.sample_rate, role)
        for role, dataset in datasets.items()
    }
    limits = replace(DEFAULT_LIMITS, max_seconds=config.corpus.max_seconds)
    pipeline = Pipeline(list(tasks.values()), config.resources, load, limits)
    rows = {row.id: row for row in manifest.rows}

    def tables() -> Iterator[pa.Table]:
        clips = [[clip for row_id in step for clip in _row_clips(manifest, rows[row_id])] for step in steps()]
        return pipeline.frames(stream_blocks(clips))

    stream = TargetStream(tables)
    return {role: StreamedTargets(dataset, stream) for role, dataset in datasets.items()}


def clip_refs(manifest: Manifest) -> Iterator[ClipRef]:
    """The clips of every row, as often as they are named."""
    return (clip for row in manifest.rows for clip in _row_clips(manifest, row))


def _row_clips(manifest: Manifest, row: Row) -> Iterator[ClipRef]:
    for uri in row.audios:
        yield ClipRef(absolute(manifest.resolve(uri)), row.seconds and row.seconds / len(row.audios))


def rows_to_skip(manifest: Manifest, report: EncodeReport) -> list[str]:
    """Ids of the rows with a clip that cannot be decoded: nobody, teacher or student, can hear them.

    A clip that only an expert refuses stays: training masks that expert's loss.
    """
    bad = report.undecodable
    return [row.id for row in manifest.rows if any(absolute(manifest.resolve(uri)) in bad for uri in row.audios)]
