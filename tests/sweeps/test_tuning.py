"""A sweep under a real Ray Tune, whose trials are answered at once."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from coat_ray.storage import Storage
from sweeps.results import TrialResult
from sweeps.spaces import Point

from .searching import RUN, TINY, drawn, searched, sweep

pytestmark = pytest.mark.slow


class Killed(BaseException):
    """What ends a sweep from outside, as an interrupt does."""


@pytest.mark.usefixtures("ray_cluster")
def test_a_killed_sweep_goes_on_with_the_trials_of_an_undisturbed_one_and_runs_none_again(tmp_path: Path) -> None:
    from sweeps.targets import Targets
    from sweeps.trial import Setting, Tell, Trial, keep_result, read_result
    from sweeps.tuning import Work, tune_trials

    begun = tmp_path / "begun"
    begun.mkdir()

    def answer(trial: Trial, setting: Setting, tell: Tell) -> None:
        if (result := read_result(setting.folder)) is None:
            (begun / trial.name).mkdir()
            score = 1 / trial.params["lora.rank"]
            names = {"trial": trial.name, "point": trial.point, "params": dict(trial.params), "seed": trial.seed}
            result = TrialResult.model_validate(names | {"state": "done", "score": score, "curve": [(10, score)]})
            keep_result(setting.folder, result)
        tell(*result.curve[-1])

    (tmp_path / "run.yaml").write_text(RUN)
    config = sweep(str(tmp_path / "run.yaml"), TINY, trials=4, set=["arms=[sft]"])
    trials = drawn(config, tmp_path / "sweep")
    places: Any = SimpleNamespace(held=nullcontext, leave=str)
    work = Work(trials, Targets({}, ()), Storage(tmp_path), tmp_path / "sweep", places, answer)
    told: list[TrialResult] = []

    def ended(result: TrialResult) -> None:
        told.append(result)
        if len(told) == 2:
            raise Killed

    with pytest.raises(Killed):
        tune_trials(work, 1, config.objective, config.stopping, ended)
    assert len(list(begun.iterdir())) == 2
    results = tune_trials(work, 1, config.objective, config.stopping, told.append)
    assert [result.state for result in results] == ["done"] * 4
    assert {path.name for path in begun.iterdir()} == {result.trial for result in results}
    assert told == [*results[:2], *results]

    def score(point: Point) -> dict[str, Any]:
        return {"score": 1 / point.params["lora.rank"]}

    assert [point.id for point in searched(drawn(config, tmp_path / "other"), score)] == [r.point for r in results]
