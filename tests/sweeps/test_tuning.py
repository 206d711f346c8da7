"""A sweep under a real Ray Tune, whose trials are answered at once."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from coat_ray.config import SweepConfig
from coat_ray.storage import Storage
from sweeps.results import TrialResult
from sweeps.spaces import Point

from .searching import RUN, TINY, drawn, searched, sweep

pytestmark = pytest.mark.slow


@pytest.mark.usefixtures("ray_cluster")
def test_a_sweep_that_is_continued_has_the_trials_of_an_undisturbed_one_and_runs_none_again(tmp_path: Path) -> None:
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
    told: list[TrialResult] = []

    def tuned(config: SweepConfig) -> list[TrialResult]:
        trials = drawn(config, tmp_path / "sweep")
        places: Any = SimpleNamespace(held=nullcontext, leave=str)
        work = Work(trials, Targets({}, ()), Storage(tmp_path), tmp_path / "sweep", places, answer)
        return tune_trials(work, 1, config.objective, config.stopping, told.append)

    half, whole = (sweep(str(tmp_path / "run.yaml"), TINY, trials=n, set=["arms=[sft]"]) for n in (2, 4))
    first = tuned(half)
    assert {path.name for path in begun.iterdir()} == {result.trial for result in first}
    results = tuned(whole)
    assert [result.state for result in results] == ["done"] * 4
    assert {path.name for path in begun.iterdir()} == {result.trial for result in results}
    assert told == [*first, *first, *results[2:]]

    def score(point: Point) -> dict[str, Any]:
        return {"score": 1 / point.params["lora.rank"]}

    assert [point.id for point in searched(drawn(whole, tmp_path / "other"), score)] == [r.point for r in results]
