"""The probes from models' names to tables and curves: what ``coat probe`` and ``jobs/probe.py`` call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from coat_ray.config import RunConfig
from coat_ray.corpus.builtin import corpus_folder
from coat_ray.evaluation.asking.answers import EvaluationError
from coat_ray.evaluation.marking.metrics import exact_match
from coat_ray.evaluation.models import check_names, progress_bar
from coat_ray.evaluation.reports.report import Table, write_report
from coat_ray.evaluation.studies import probe_report
from coat_ray.evaluation.studies.kept_steps import KeptStep, kept_steps, open_kept
from coat_ray.evaluation.studies.probe_report import CurvePoint, ProbeRow
from coat_ray.evaluation.studies.probe_targets import TARGETS, LabelledClips, labelled
from coat_ray.evaluation.studies.probes import association, control, probe
from coat_ray.evaluation.studies.states import StateReader
from coat_ray.model.opening import OpenModel, open_model
from coat_ray.registry.models import BASE, ModelRegistry
from coat_ray.registry.runs import RunRecord, RunRegistry
from coat_ray.storage import Storage

FIT_SPLIT, TEST_SPLIT = "train", "test"
ANSWER_TOKENS = 16
Clips = dict[str, tuple[LabelledClips, LabelledClips]]
"""Target -> (clips to fit on, clips to score on)."""


@dataclass(frozen=True)
class ProbeStudy:
    """Scores of each model's probes, and along the runs that led to them."""

    rows: list[ProbeRow]
    curves: list[CurvePoint] = field(default_factory=list)

    def tables(self) -> dict[str, Table]:
        """Accuracy beside chance and control, the association with success, and the curves as numbers."""
        tables = {
            "probes": probe_report.probe_table(self.rows),
            "probes_success": probe_report.success_table(self.rows),
        }
        if self.curves:
            tables["probe_curves"] = probe_report.curve_table(self.curves)
        return tables

    def write(self, folder: Path) -> list[Path]:
        """``probes.md``, ``probes.json`` and, where there are curves, ``probes.png``."""
        written = list(write_report(folder, self.tables(), "probes"))
        if self.curves:
            probe_report.plot(self.curves, self.rows, folder / "probes.png")
            written.append(folder / "probes.png")
        return written


def study_probes(
    names: Sequence[str],
    config: RunConfig,
    storage: Storage,
    *,
    curves: bool = False,
    limit: int | None = None,
) -> ProbeStudy:
    """Probe models on the corpus of a run, which must be SoundWorld.

    Args:
        names: ``base``, a model's name or alias, or ``name@version``.
        config: whose corpus is heard; its backbone is ``base``.
        storage: where corpus, models and runs lie.
        curves: also probe every step that the models' runs kept.
        limit: the first so many clips of each target and split; None: all.

    Raises:
        EvaluationError: no model, the same one twice, or a run that kept nothing.
        ModelNotFound, RunNotFound: what is not there.
        ManifestError, AudioError: the corpus is no SoundWorld, or broken.
    """
    check_names(names)
    registry = ModelRegistry(storage)
    runs = {name: _run_of(name, registry, storage) for name in names if curves and name != BASE}
    for name in names:
        if name != BASE:
            registry.resolve(name)
    steps = [(name, record, kept) for name, found in runs.items() for record, kept in _steps(found)]
    study, clips = ProbeStudy([]), None
    with progress_bar("probe") as progress:
        for number, name in enumerate(names):
            opened = open_model(name, config.backbone, registry)
            clips = clips or _clips(config, storage, opened.backbone.front.sample_rate, limit)
            study.rows.extend(probe_model(name, opened, clips))
            progress(number + 1, len(names) + len(steps))
        assert clips is not None
        for number, (name, record, kept) in enumerate(steps):
            study.curves.extend(probe_step(name, kept.step, open_kept(kept, record), clips))
            progress(len(names) + number + 1, len(names) + len(steps))
    return study


def probe_model(name: str, opened: OpenModel, clips: Clips) -> Iterator[ProbeRow]:
    """Every target at every state of one model, with control and association."""
    reader = StateReader(opened)
    for target in TARGETS:
        fit, test = clips[target.name]
        x_fit, x_test = (reader.states(target.question, part.signals) for part in (fit, test))
        said = reader.answers(target.question, test.signals, ANSWER_TOKENS)
        success = [exact_match(label, answer) for label, answer in zip(test.labels, said, strict=True)]
        for state in x_test:
            score = probe(x_fit[state], fit.labels, x_test[state], test.labels)
            random = control(x_fit[state], x_test[state], score.classes)
            yield ProbeRow(name, target.name, state, score, random, association(score.confidence, success))


def probe_step(name: str, step: int, opened: OpenModel, clips: Clips) -> Iterator[CurvePoint]:
    """Every target at every state of a model on its way; accuracy alone."""
    reader = StateReader(opened)
    for target in TARGETS:
        fit, test = clips[target.name]
        x_fit, x_test = (reader.states(target.question, part.signals) for part in (fit, test))
        for state in x_test:
            score = probe(x_fit[state], fit.labels, x_test[state], test.labels)
            yield CurvePoint(name, step, target.name, state, score.accuracy, score.constant)


def _clips(config: RunConfig, storage: Storage, rate: int, limit: int | None) -> Clips:
    folder = corpus_folder(config.corpus.name, storage)
    of: Callable[..., LabelledClips] = labelled
    return {
        target.name: (of(folder, FIT_SPLIT, target, rate, limit), of(folder, TEST_SPLIT, target, rate, limit))
        for target in TARGETS
    }


def _run_of(name: str, registry: ModelRegistry, storage: Storage) -> tuple[RunRecord, Path]:
    record = registry.resolve(name)
    run = record.lineage.get("run")
    if run is None:
        raise EvaluationError(f"{record.ref} names no run in its lineage, so there are no steps to probe")
    runs = RunRegistry(storage)
    return runs.find(run), runs.folder(run)


def _steps(found: tuple[RunRecord, Path]) -> list[tuple[RunRecord, KeptStep]]:
    record, folder = found
    return [(record, kept) for kept in kept_steps(folder, RunConfig.model_validate(record.config))]
