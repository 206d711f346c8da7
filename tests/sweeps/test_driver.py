"""From a sweep's file to its trials: what each is called, trains, and is asked at which steps."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from coat_ray.config import ConfigError, SweepConfig, load_config
from coat_ray.storage import Storage
from sweeps import driver
from sweeps.driver import trials_of

ROOT = Path(__file__).parents[2]


def sweep(name: str, *overrides: str) -> SweepConfig:
    return load_config(ROOT / f"sweeps/configs/{name}.yaml", SweepConfig, list(overrides))


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_every_variant_is_trained_with_every_seed_and_the_base_asked_once() -> None:
    trials = trials_of(sweep("ablation_components"))
    assert len({trial.name for trial in trials}) == len(trials) == 1 + 4 * 3
    [base] = [trial for trial in trials if not trial.train]
    assert (base.variant, base.rungs) == ("base", (0,))
    assert {tuple(trial.rungs) for trial in trials if trial.train} == {(340,)}
    assert {trial.split for trial in trials} == {"test"}


def test_a_trial_trains_what_its_seed_and_variant_say() -> None:
    by_name = {(trial.variant, trial.seed): trial.config for trial in trials_of(sweep("ablation_components"))}
    assert by_name["sft", 2].arms == ("sft",)
    assert by_name["all", 1].seed == 1
    assert set(by_name["representational", 0].experts) == {"speech"}
    assert by_name["block", 0].experts == {}


def test_a_bound_on_questions_and_rungs_reach_each_trial() -> None:
    space = "space={optim.lr: {log_uniform: [0.001, 0.01]}}"
    drawn = sweep("loss_weights", "search.trials=3", "objective.rows_per_task=5", space)
    trials = trials_of(drawn)
    assert [tuple(trial.rungs) for trial in trials] == [(170, 255, 340)] * 3
    assert {trial.config.evaluation.max_rows_per_task for trial in trials} == {5}


def test_a_search_that_cannot_be_run_yet_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="tpe is declared and not run yet: use random"):
        driver.run(sweep("loss_weights", "search.algorithm=tpe"), Storage(tmp_path), Console(), command="")
    assert list(tmp_path.iterdir()) == []


def test_the_same_sweep_is_found_again_whatever_runs_at_a_time() -> None:
    one, other = sweep("ablation_projector"), sweep("ablation_projector", "resources.concurrency=4")
    base = driver.check(one)
    assert driver._identity(one, base) == driver._identity(other, base)
    assert driver._identity(sweep("ablation_projector", "seeds=[7]"), base) != driver._identity(one, base)
