"""A sweep is kept so that its report can be made again, wherever its folder lies."""

from pathlib import Path

import pytest

from coat_ray.config import RunConfig, SweepConfig, load_config
from coat_ray.config.sweep import ObjectiveConfig
from sweeps.record import BASE, RECORD, Objective, SweepRecord, read_record, write_record
from sweeps.spaces import Point, apply, base_config

from .objects import trial

ROOT = Path(__file__).parents[2]
SWEEPS = sorted((ROOT / "sweeps" / "configs").glob("*.yaml"))


@pytest.fixture(autouse=True)
def _from_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_a_shipped_sweep_comes_back_as_it_was_kept(path, tmp_path):
    record = SweepRecord(command="typed", commit="abc", sweep=load_config(path, SweepConfig))
    write_record(tmp_path, record, base_config(record.sweep))
    again = read_record(tmp_path)
    assert again.sweep.model_dump() == record.sweep.model_dump() | {"run": str(tmp_path / BASE)}
    assert (again.command, again.commit, again.variants) == ("typed", "abc", record.variants)


def test_a_trial_is_configured_as_it_ran_though_the_run_has_changed_since(tmp_path):
    run = tmp_path / "run.yaml"
    run.write_text((ROOT / "jobs" / "configs" / "embedded.yaml").read_text())
    sweep = SweepConfig(name="demo", run=str(run), set=("arms=[coat]",), space={"optim.lr": {"choice": [1e-5, 0.3]}})
    params = {"optim.lr": 1e-5, "stages.1.weights.pitch": 0}
    ran = apply(sweep, Point(params), 3)
    write_record(tmp_path / "sweep", SweepRecord(command="x", sweep=sweep), base_config(sweep))
    run.write_text("name: other\n")
    again = read_record(tmp_path / "sweep").config_of(trial("p", 3, params=params))
    assert isinstance(again, RunConfig)
    assert again == ran
    assert (again.optim.lr, again.seed, "pitch" in again.experts) == (1e-5, 3, False)


def test_a_folder_without_a_sweep_is_refused(tmp_path):
    with pytest.raises(ValueError, match=f"no sweep in .* has no {RECORD}"):
        read_record(tmp_path)


def test_a_damaged_record_is_refused_by_name(tmp_path):
    (tmp_path / RECORD).write_text('{"command": ')
    with pytest.raises(ValueError, match=f"{RECORD} is no record of a sweep"):
        read_record(tmp_path)


@pytest.mark.parametrize(
    ("metric", "objective"),
    [
        ("score", Objective("mean accuracy")),
        ("music", Objective("music")),
        ("asr", Objective("asr (WER)", minimise=True)),
        ("step_seconds", Objective("step_seconds", minimise=True, percent=False)),
        ("rows_per_second", Objective("rows_per_second", percent=False)),
    ],
)
def test_an_objective_is_shown_in_its_unit_and_knows_its_direction(metric, objective):
    assert Objective.of(ObjectiveConfig(metric=metric)) == objective


def test_a_cost_is_a_second_objective():
    assert Objective.of(ObjectiveConfig(cost="step_seconds")).cost
