"""A trial keeps what it did: it goes on where it was, and one that has ended is not begun again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from coat_ray.config import RunConfig
from coat_ray.storage import Storage
from coat_ray.training.errors import TrainingStoppedError, TrainingYieldedError
from coat_ray.training.run import RunResult
from sweeps import trial as trials
from sweeps.trial import Ready, Setting, Trial, crashed, ended_early, read_result, run_trial

CONFIG = RunConfig.model_validate({"name": "trial", "stages": [{"name": "one", "steps": 8}], "arms": ["sft"]})
READY = Ready({}, ())
LOG = '{"step": 4, "steps": 4, "seconds": 2.0, "loss": 3.0}\n{"step": 8, "steps": 4, "seconds": 6.0, "loss": 2.0}\n'


class Asked:
    """Scores as an evaluation gives them: half of the answers right after four steps, all of them after eight."""

    def __init__(self, step: int) -> None:
        self.value = step / 8

    def mean_accuracy(self) -> Asked:
        return self

    def scores(self) -> dict[str, Asked]:
        return {"music": self}


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Steps to which training was taken; what training and asking cost is left out."""
    steps: list[int] = []

    def train_arm(*_: Any, until: int, **__: Any) -> RunResult:
        steps.append(until)
        folder = tmp_path / "run"
        folder.mkdir(exist_ok=True)
        (folder / "metrics.jsonl").write_text(LOG)
        return RunResult("run", folder, folder / "adapter", "m@1" if until == 8 else "", {})

    monkeypatch.setattr(trials, "train_arm", train_arm)
    monkeypatch.setattr(trials, "corpus_folder", lambda *_: tmp_path)
    monkeypatch.setattr(trials, "_asked", lambda *_: Asked(steps[-1]))
    return steps


def trial(**changes: Any) -> Trial:
    what: dict[str, Any] = {"name": "a-s0", "point": "a", "variant": None, "params": {"optim.lr": 0.1}, "seed": 0}
    return Trial(**what, config=CONFIG, rungs=(4, 8), **changes)


def run(what: Trial, folder: Path) -> list[tuple[int, float]]:
    told: list[tuple[int, float]] = []
    run_trial(what, setting(folder), lambda step, value: told.append((step, value)))
    return told


def setting(folder: Path, *places: bool) -> Setting:
    """A folder to work in; a place for each flag, set where it must be left, and then one that need not be."""
    flags = iter(places)

    @contextmanager
    def place() -> Iterator[threading.Event]:
        leave = threading.Event()
        if next(flags, False):
            leave.set()
        yield leave

    return Setting(READY, Storage(folder), folder / "place", place)


def test_a_trial_is_asked_at_each_rung_and_its_result_says_all_of_it(tmp_path: Path, trained: list[int]) -> None:
    assert run(trial(), tmp_path) == [(4, 0.5), (8, 1.0)]
    result = read_result(tmp_path / "place")
    assert result is not None
    assert (result.state, result.score, result.scores, result.model) == ("done", 1.0, {"music": 1.0}, "m@1")
    assert (result.losses, result.steps, result.seconds, result.step_seconds) == (((4, 3.0), (8, 2.0)), 8, 8.0, 1.0)
    assert result.cpus == 3
    assert trained == [4, 8]


def test_a_trial_that_has_ended_tells_the_same_and_trains_nothing(tmp_path: Path, trained: list[int]) -> None:
    first = run(trial(), tmp_path)
    assert run(trial(), tmp_path) == first
    assert trained == [4, 8]


def test_a_task_group_or_a_figure_of_the_log_can_be_the_objective(tmp_path: Path, trained: list[int]) -> None:
    assert run(trial(metric="music"), tmp_path / "a")[-1] == (8, 1.0)
    assert run(trial(metric="step_seconds"), tmp_path / "b")[-1] == (8, 1.0)
    with pytest.raises(ValueError, match="there are no questions of 'asr'; there are music"):
        run(trial(metric="asr"), tmp_path / "c")


def test_a_training_that_cannot_go_on_is_a_failed_trial_with_its_reason(
    tmp_path: Path, trained: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stops(*_: Any, **__: Any) -> RunResult:
        raise TrainingStoppedError("run trial-sft-0 stopped: the loss is not finite")

    monkeypatch.setattr(trials, "train_arm", stops)
    assert run(trial(), tmp_path) == []
    result = read_result(tmp_path / "place")
    assert result is not None
    assert (result.state, result.score, result.reason) == (
        "failed",
        None,
        "run trial-sft-0 stopped: the loss is not finite",
    )


def test_a_trial_that_must_make_room_goes_on_in_its_next_place(
    tmp_path: Path, trained: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    to_the_end = trials.train_arm

    def gives_way(*arguments: Any, give_way: threading.Event, **more: Any) -> RunResult:
        if give_way.is_set():
            raise TrainingYieldedError("gave way after step 2")
        return to_the_end(*arguments, **more)

    monkeypatch.setattr(trials, "train_arm", gives_way)
    told: list[int] = []
    run_trial(trial(), setting(tmp_path, True, True, False, True), lambda step, _: told.append(step))
    assert told == trained == [4, 8]


def test_what_was_ended_by_others_keeps_what_it_had_reached(tmp_path: Path, trained: list[int]) -> None:
    class StoppedByOthers(Exception):
        pass

    def tell(step: int, value: float) -> None:
        raise StoppedByOthers

    with pytest.raises(StoppedByOthers):
        run_trial(trial(), setting(tmp_path), tell)
    assert read_result(tmp_path / "place") is None
    early = ended_early(trial(), tmp_path / "place")
    assert (early.state, early.score, early.curve) == ("stopped", 0.5, ((4, 0.5),))
    assert crashed(trial(), tmp_path / "place", "no memory").reason == "no memory"
