"""Targets for all trials of a sweep, each kind made once and before any trial begins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console

from coat_ray.corpus.builtin import corpus_folder
from coat_ray.corpus.manifest import read_manifest
from coat_ray.provenance import fingerprint
from coat_ray.storage import Storage
from coat_ray.targets.corpus import encode_run, rows_to_skip
from coat_ray.targets.report import LineProgress
from coat_ray.targets.store import TargetStore
from coat_ray.training.run import TRAIN_SPLIT
from sweeps.trial import Ready, Trial


@dataclass(frozen=True)
class Targets:
    """What was made for a sweep."""

    datasets: Mapping[str, str]
    """By what :func:`wanted` says of a role."""
    skip_rows: Sequence[str]
    """All trials leave out the same rows."""

    def of(self, trial: Trial) -> Ready:
        """What a trial needs of it."""
        return Ready({role: self.datasets[kind] for role, kind in wanted(trial).items()}, self.skip_rows)


def wanted(trial: Trial) -> dict[str, str]:
    """Role -> name of the targets that the trial learns from; the same name for the same targets."""
    config = trial.config
    if not trial.train or config.arms == ("sft",):
        return {}
    corpus = {"name": config.corpus.name, "max_seconds": config.corpus.max_seconds}
    shared = {"corpus": corpus, "streamed": config.resources.stream_targets}
    return {
        role: fingerprint({**shared, "expert": expert.model_dump(mode="json")})
        for role, expert in config.experts.items()
    }


def make_targets(trials: Iterable[Trial], storage: Storage, console: Console) -> Targets:
    """Make what the trials need between them. Ray must be running."""
    datasets: dict[str, str] = {}
    skip: set[str] = set()
    for trial in trials:
        kinds = wanted(trial)
        if kinds and not datasets.keys() >= set(kinds.values()):
            corpus = corpus_folder(trial.config.corpus.name, storage)
            report = encode_run(trial.config, corpus, TargetStore(storage.targets), LineProgress(console))
            datasets |= {kinds[role]: dataset for role, dataset in report.fingerprints.items()}
            skip |= set(rows_to_skip(read_manifest(corpus / TRAIN_SPLIT), report))
    return Targets(datasets, sorted(skip))
