"""The targets of a whole corpus, as a run's configuration asks for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from coat_ray.audio import DEFAULT_LIMITS
from coat_ray.config import RunConfig
from coat_ray.corpus.manifest import Manifest, read_manifest
from coat_ray.experts.registry import load_expert
from coat_ray.targets.encode import encode_corpus
from coat_ray.targets.plan import ClipRef, absolute
from coat_ray.targets.pool import LoadExpert
from coat_ray.targets.report import EncodeReport, OnProgress
from coat_ray.targets.store import TargetStore, alignment_of, target_fingerprint

ENCODED = ("train.jsonl", "validation.jsonl")
"""Splits that need targets: to learn from, and to measure distillation on. The test split is only asked about."""


def encode_run(
    config: RunConfig,
    corpus: Path,
    store: TargetStore,
    progress: OnProgress | None = None,
    load: LoadExpert = load_expert,
) -> EncodeReport:
    """Store what the splits in the folder *corpus* still lack of the run's experts. Ray must be running."""
    clips = [clip for name in ENCODED for clip in clip_refs(read_manifest(corpus / name))]
    limits = replace(DEFAULT_LIMITS, max_seconds=config.corpus.max_seconds)
    return encode_corpus(clips, config.experts, store, config.resources, progress, load=load, limits=limits)


def target_fingerprints(config: RunConfig, load: LoadExpert = load_expert) -> set[str]:
    """Fingerprints of the datasets that a run reads; loads its experts, because their weights are part of them."""
    found = set()
    for wanted in config.experts.values():
        expert = load(wanted, "cpu")
        found.add(target_fingerprint(expert.fingerprint, alignment_of(wanted, expert.spec), wanted.dtype))
    return found


def clip_refs(manifest: Manifest) -> Iterator[ClipRef]:
    """The clips of every row, as often as they are named."""
    for row in manifest.rows:
        for uri in row.audios:
            yield ClipRef(absolute(manifest.resolve(uri)), row.seconds and row.seconds / len(row.audios))


def rows_to_skip(manifest: Manifest, report: EncodeReport) -> list[str]:
    """Ids of the rows with a clip that cannot be decoded: nobody, teacher or student, can hear them.

    A clip that only an expert refuses stays: training masks that expert's loss.
    """
    bad = report.undecodable
    return [row.id for row in manifest.rows if any(absolute(manifest.resolve(uri)) in bad for uri in row.audios)]
