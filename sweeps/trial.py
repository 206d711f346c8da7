"""One trial: train to a rung, ask held-out questions, tell the result, go on to the next rung or end.

A trial keeps what it did in its folder. Started again, it continues its training exactly where that was, asks only what
was not asked, and one that has ended gives its result back.
"""

from __future__ import annotations

import json
import statistics
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coat_ray.cluster import as_one_worker
from coat_ray.config import RunConfig
from coat_ray.config.sweep import MACHINE, SCORE
from coat_ray.corpus.builtin import corpus_folder
from coat_ray.corpus.manifest import read_manifest
from coat_ray.evaluation.asking.answerers import ModelAnswerer
from coat_ray.evaluation.run import evaluate
from coat_ray.evaluation.scores import Evaluation
from coat_ray.leasing.footprint import resources_of
from coat_ray.model.backbones import load_backbone
from coat_ray.model.coat import CoatModel
from coat_ray.model.generate import Generator
from coat_ray.registry.metrics import read_metrics
from coat_ray.storage import Storage, atomic_write
from coat_ray.training.errors import TrainingStoppedError, TrainingYieldedError
from coat_ray.training.run import RunResult, train_arm
from sweeps.results import TrialResult, TrialState

if TYPE_CHECKING:
    import torch

Tell = Callable[[int, float], None]
"""(step, objective) at each rung."""

Place = Callable[[], AbstractContextManager[threading.Event]]
"""Waits until the trial may work; the event is set when it must make room."""


@dataclass(frozen=True)
class Trial:
    """What is to be trained and asked. *rungs* are the steps at which it is asked, the last being its end."""

    name: str
    point: str
    variant: str | None
    params: Mapping[str, Any]
    seed: int
    config: RunConfig
    rungs: Sequence[int]
    metric: str = SCORE
    split: str = "validation"
    train: bool = True


@dataclass(frozen=True)
class Ready:
    """What was made before the trials began: role -> dataset of targets, and rows that nobody can hear."""

    datasets: Mapping[str, str]
    skip_rows: Sequence[str]


@dataclass(frozen=True)
class Setting:
    """Where a trial runs, and with what. *folder*: its own, which keeps what it did."""

    ready: Ready
    storage: Storage
    folder: Path
    place: Place


def run_trial(trial: Trial, setting: Setting, tell: Tell) -> None:
    """Run a trial; its folder then holds its result. Ray must be running.

    A training that cannot go on (a loss that is not finite, no memory) ends as *failed* with its reason.
    """
    folder = setting.folder
    if (result := read_result(folder)) is not None:
        for step, value in result.curve:
            tell(step, value)
        return
    try:
        result = _climb(trial, setting, tell)
    except TrainingStoppedError as error:
        keep_result(folder, crashed(trial, folder, str(error)))
        return
    keep_result(folder, result)
    tell(*result.curve[-1])  # who hears of the last rung may end this process


def read_result(folder: Path) -> TrialResult | None:
    """How the trial of a folder ended, None while it has not."""
    path = folder / "result.json"
    return TrialResult.model_validate_json(path.read_bytes()) if path.is_file() else None


def keep_result(folder: Path, result: TrialResult) -> None:
    """Write how a trial ended; from then on it has ended."""
    atomic_write(folder / "result.json", result.model_dump_json(indent=2) + "\n")


def ended_early(trial: Trial, folder: Path) -> TrialResult:
    """The result of a trial that was ended because others were better at the same step."""
    return _so_far(trial, folder, "stopped", "")


def crashed(trial: Trial, folder: Path, reason: str) -> TrialResult:
    """The result of a trial that could not go on."""
    return _so_far(trial, folder, "failed", reason)


def _so_far(trial: Trial, folder: Path, state: TrialState, reason: str) -> TrialResult:
    notes = _Notes(folder)
    return _result(trial, state, notes.curve(), None, rows=notes.rows(), reason=reason)


@dataclass(frozen=True)
class _Notes:
    """What a trial writes down on its way, for whoever has to say how it ended."""

    folder: Path

    def begin(self, run: RunResult) -> None:
        atomic_write(self.folder / "run.txt", str(run.folder))

    def add(self, curve: Sequence[tuple[int, float]]) -> None:
        atomic_write(self.folder / "curve.json", json.dumps(list(curve)))

    def curve(self) -> list[tuple[int, float]]:
        path = self.folder / "curve.json"
        return [(int(step), float(value)) for step, value in json.loads(path.read_text())] if path.is_file() else []

    def rows(self) -> list[dict[str, Any]]:
        path = self.folder / "run.txt"
        return read_metrics(Path(path.read_text()) / "metrics.jsonl") if path.is_file() else []


def _climb(trial: Trial, setting: Setting, tell: Tell) -> TrialResult:
    notes = _Notes(setting.folder)
    curve: list[tuple[int, float]] = []
    evaluation, reached = None, None
    for step in trial.rungs:
        reached, evaluation = _next_rung(trial, setting, notes, step)
        curve.append((step, _objective(trial, evaluation, notes.rows())))
        notes.add(curve)
        if step != trial.rungs[-1]:
            tell(*curve[-1])
    assert evaluation is not None
    model = reached.model if reached else None
    return _result(trial, "done", curve, evaluation, rows=notes.rows(), model=model)


def _next_rung(trial: Trial, setting: Setting, notes: _Notes, step: int) -> tuple[RunResult | None, Evaluation]:
    """Train and ask in a place. Who must make room does so with a checkpoint, and goes on from it in the next place."""
    while True:
        try:
            with setting.place() as leave:
                reached = None
                if trial.train:
                    reached = _train(trial, setting, step, leave)
                    notes.begin(reached)
                answers = notes.folder / f"answers-{step}.jsonl"
                ask = partial(_asked, trial, reached, setting.storage, answers)
                return reached, as_one_worker(trial.config.resources, ask)
        except TrainingYieldedError:
            continue


def _train(trial: Trial, setting: Setting, step: int, leave: threading.Event) -> RunResult:
    (arm,) = trial.config.arms
    corpus = corpus_folder(trial.config.corpus.name, setting.storage)
    return train_arm(
        trial.config,
        arm,
        corpus=corpus,
        storage=setting.storage,
        datasets=setting.ready.datasets,
        skip_rows=setting.ready.skip_rows,
        until=step,
        alias=False,
        give_way=leave,
        show=lambda _: None,
    )


def _asked(
    trial: Trial, reached: RunResult | None, storage: Storage, answers: Path, device: torch.device
) -> Evaluation:
    """Ask the split's questions of the adapter as it is, or of the base."""
    config = trial.config
    manifest = read_manifest(corpus_folder(config.corpus.name, storage) / f"{trial.split}.jsonl")
    if reached is None:
        generator = Generator(load_backbone(config.backbone).to(device), block=False)
    else:
        model = CoatModel.load(config.backbone, reached.adapter).to(device)
        generator = Generator(model.backbone, block=model.block)
    answerer = ModelAnswerer(generator, manifest.resolve)
    return evaluate(
        answerer, manifest.rows, answers, model=trial.name, identity=answerer.identity(), config=config.evaluation
    )


def _objective(trial: Trial, evaluation: Evaluation, rows: Sequence[Mapping[str, Any]]) -> float:
    """The figure that the sweep is about: the mean accuracy, one task group's score, or a figure of the log.

    Raises:
        ValueError: the questions have no such group, or nothing was logged.
    """
    if trial.metric in MACHINE:
        return statistics.median(figures_of(rows, trial.metric))
    if trial.metric == SCORE:
        mean = evaluation.mean_accuracy()
        if mean is None:
            raise ValueError("none of the questions is scored by accuracy; name a task group as objective.metric")
        return mean.value
    scores = evaluation.scores()
    if trial.metric not in scores:
        raise ValueError(f"objective.metric: there are no questions of {trial.metric!r}; there are {', '.join(scores)}")
    return scores[trial.metric].value


def figures_of(rows: Sequence[Mapping[str, Any]], metric: str) -> list[float]:
    """A figure about the machine in every line of a log.

    Raises:
        ValueError: no line has it.
    """
    if metric == "step_seconds":
        found = [row["seconds"] / row["steps"] for row in rows]
    else:
        found = [row[metric] for row in rows if metric in row]
    if not found:
        raise ValueError(f"objective.metric: nothing was logged of {metric}")
    return found


def _result(
    trial: Trial,
    state: TrialState,
    curve: Sequence[tuple[int, float]],
    evaluation: Evaluation | None,
    *,
    rows: Sequence[Mapping[str, Any]] = (),
    model: str | None = None,
    reason: str = "",
) -> TrialResult:
    held = resources_of(trial.config)
    return TrialResult(
        trial=trial.name,
        point=trial.point,
        variant=trial.variant,
        params=dict(trial.params),
        seed=trial.seed,
        state=state,
        reason=reason,
        score=curve[-1][1] if curve else None,
        scores={task: score.value for task, score in evaluation.scores().items()} if evaluation else {},
        curve=tuple(curve),
        losses=tuple((row["step"], row["loss"]) for row in rows),
        steps=rows[-1]["step"] if rows else 0,
        step_seconds=statistics.median(figures_of(rows, "step_seconds")) if rows else None,
        seconds=sum(row["seconds"] for row in rows),
        cpus=held.cpus,
        gpus=held.gpus,
        model=model or None,
    )
