"""Where trials come from: a list, or draws that learn, are kept, and are the same when a sweep is continued."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coat_ray.config import SweepConfig, load_config
from sweeps.search import DRAWS, Listed, trials_of
from sweeps.spaces import Point, points, suggest
from sweeps.targets import wanted

from . import objects
from .searching import RUN, TINY, drawn, searched, sweep

ROOT = Path(__file__).parents[2]
PLANE = {"optim.lr": {"log_uniform": [1e-4, 1e-2]}, "lora.dropout": {"uniform": [0, 0.5]}}
KINDS = {
    **PLANE,
    "lora.rank": {"int_uniform": [2, 32]},
    "lora.target_modules": {"choice": [["q_proj"], ["q_proj", "v_proj"]]},
    "stages.1.weights": {"simplex": ["sed", "pitch", "recon"]},
}


@pytest.fixture
def run(tmp_path: Path) -> str:
    path = tmp_path / "run.yaml"
    path.write_text(RUN)
    return str(path)


def off(point: Point) -> float:
    """How far from the middle of PLANE, squared, in units of its sides."""
    return (math.log10(point.params["optim.lr"]) / 2 + 1.5) ** 2 + (2 * point.params["lora.dropout"] - 0.5) ** 2


def near(point: Point) -> dict[str, Any]:
    return {"score": 1 - off(point)}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_tpe_draws_from_the_better_half_more_often_than_random_search(run: str, tmp_path: Path, seed: int) -> None:
    config = sweep(run, PLANE, seed=seed)
    found = searched(drawn(config, tmp_path / "sweep"), near)
    random = points(sweep(run, PLANE, search={"algorithm": "random", "trials": 30, "seed": seed}))
    middle = sorted(map(off, random))[15]
    better, by_chance = (sum(off(point) < middle for point in each[10:]) for each in (found, random))
    assert better > by_chance
    assert better >= 15


def test_a_smaller_score_is_searched_where_it_is_better(run: str, tmp_path: Path) -> None:
    config = sweep(run, PLANE, objective={"metric": "asr"})
    found = searched(drawn(config, tmp_path / "sweep"), lambda point: {"score": off(point)})
    assert max(map(off, found[20:])) < max(map(off, found[:10]))


def test_the_same_seed_draws_the_same_points_and_another_seed_others(run: str, tmp_path: Path) -> None:
    first = searched(drawn(sweep(run, KINDS, 14), tmp_path / "a"), near)
    assert searched(drawn(sweep(run, KINDS, 14), tmp_path / "b"), near) == first
    assert searched(drawn(sweep(run, KINDS, 14, seed=1), tmp_path / "c"), near, 3) != first[:3]


@pytest.mark.parametrize("space", [KINDS, TINY], ids=["kinds", "tiny"])
@pytest.mark.parametrize("told", [True, False], ids=["between trials", "within a trial"])
def test_a_search_that_is_continued_draws_what_it_would_have_drawn(
    run: str, tmp_path: Path, space: dict[str, Any], told: bool
) -> None:
    def by_rank(point: Point) -> dict[str, Any]:
        return {"score": 1 / point.params["lora.rank"]}

    config = sweep(run, space, trials=6 if space is TINY else 16)
    undisturbed = searched(drawn(config, tmp_path / "a"), by_rank)
    for number in (1, config.search.trials - 3, config.search.trials - 1):
        trials = drawn(config, tmp_path / f"b{number}")
        searched(trials, by_rank, number)
        if not told:
            search = trials.search()
            for again in range(number):
                search.draw(again)
                search.tell(again, objects.trial("p", **by_rank(trials.point(trials.kept()[again]))))
            search.draw(number)
        assert len(trials.kept()) == number + (not told)
        assert searched(trials, by_rank) == undisturbed


def test_no_point_is_drawn_twice_though_there_are_no_more(run: str, tmp_path: Path) -> None:
    found = searched(drawn(sweep(run, TINY, trials=6), tmp_path / "sweep"), lambda point: {"score": 1.0})
    assert len({point.id for point in found}) == 6


def test_what_failed_is_avoided_and_what_was_stopped_is_worse_than_what_ended(run: str, tmp_path: Path) -> None:
    def ends(point: Point) -> dict[str, Any]:
        if point.params["lora.dropout"] > 0.25:
            return {"state": "failed", "score": None}
        return {"state": "stopped", "score": 9.0, "curve": [(2, 9.0)]} if point.params["optim.lr"] > 1e-3 else {}

    found = searched(drawn(sweep(run, PLANE, stopping={"kind": "asha"}), tmp_path / "sweep"), ends)
    assert sum(point.params["lora.dropout"] > 0.25 for point in found[10:]) <= 6
    assert sum(point.params["optim.lr"] > 1e-3 for point in found[10:]) <= 6


def test_a_trade_off_is_searched_at_both_of_its_ends(run: str, tmp_path: Path) -> None:
    """A larger rank scores better and its steps take longer; dropout is bad for both."""

    def trade(point: Point) -> dict[str, Any]:
        rank, dropout = point.params["lora.rank"], point.params["lora.dropout"]
        return {"score": rank / 32 - dropout, "step_seconds": rank / 32 + dropout}

    space = {"lora.rank": {"int_uniform": [2, 32]}, "lora.dropout": {"uniform": [0, 0.5]}}
    config = sweep(run, space, 40, objective={"cost": "step_seconds"})
    found = searched(drawn(config, tmp_path / "sweep"), trade)[20:]
    assert sum(point.params["lora.dropout"] < 0.2 for point in found) >= 13
    assert min(point.params["lora.rank"] for point in found) <= 8
    assert max(point.params["lora.rank"] for point in found) >= 26


def test_a_trial_whose_steps_were_not_timed_teaches_nothing_but_that_it_is_bad(run: str, tmp_path: Path) -> None:
    config = sweep(run, TINY, 3, objective={"cost": "step_seconds"})
    assert len(searched(drawn(config, tmp_path / "sweep"), lambda point: {"score": 1.0, "step_seconds": None})) == 3


def test_the_kept_answers_of_optuna_make_exactly_the_trial_that_it_was_asked_for(run: str, tmp_path: Path) -> None:
    trials = drawn(sweep(run, KINDS, 12), tmp_path / "sweep")
    search: Any = trials.search()
    for number in range(12):
        search.draw(number)
        asked, trial = suggest(search._asked[number], trials.sweep), trials.trial(number)
        assert (trial.params, trial.point, trial.name) == (asked.params, asked.id, asked.trial(0))
        assert trial.config.optim.lr == asked.params["optim.lr"]
        assert trial.config.stages[1].weights["sed"] == asked.params["stages.1.weights.sed"]
        search.tell(number, objects.trial(asked.id, score=number))


def test_a_later_draw_varies_the_run_as_it_was_at_the_start_wherever_it_is_made(
    run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    trials = drawn(sweep("run.yaml", TINY, 2), tmp_path / "sweep")
    searched(trials, near_nothing, 1)
    first = trials.trial(0)
    Path(run).unlink()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert trials.trial(0) == first
    searched(trials, near_nothing)
    assert trials.trial(1).config.stages == first.config.stages


def near_nothing(point: Point) -> dict[str, Any]:
    return {"score": 0.0}


def test_every_draw_is_a_line_that_names_what_was_asked(run: str, tmp_path: Path) -> None:
    searched(drawn(sweep(run, KINDS, 2), tmp_path / "sweep"), near_nothing)
    lines = (tmp_path / "sweep" / DRAWS).read_text().splitlines()
    names = {"optim.lr", "lora.dropout", "lora.rank", "lora.target_modules"}
    assert [set(json.loads(line)) for line in lines] == [
        names | {"stages.1.weights[pitch]", "stages.1.weights[recon]"}
    ] * 2


def test_the_examples_of_a_search_need_whatever_its_draws_can_need(run: str, tmp_path: Path) -> None:
    space = {
        "arms": {"choice": [["sft"], ["coat"]]},
        "experts.pitch.model": {"choice": ["basic_pitch", "crepe"]},
        "stages.1.weights.pitch": {"choice": [0, 1.0]},
        "stages.1.weights.sed": {"choice": [0, 2.0]},
        "corpus.max_seconds": {"choice": [10.0, 20.0]},
    }
    trials = drawn(sweep(run, space, 32), tmp_path / "sweep")
    made = {kind for example in trials.examples for kind in wanted(example).values()}
    search, needed = trials.search(), set()
    for number in range(32):
        search.draw(number)
        needed |= set(wanted(trials.trial(number)).values())
    assert needed == made
    assert len(made) == 2 * (2 + 1)


def test_every_variant_is_trained_with_every_seed_and_the_base_asked_once(shipped: Callable[..., Listed]) -> None:
    trials = shipped("ablation_components").trials
    assert len({trial.name for trial in trials}) == len(trials) == 1 + 4 * 3
    [base] = [trial for trial in trials if not trial.train]
    assert (base.variant, base.rungs) == ("base", (0,))
    assert {tuple(trial.rungs) for trial in trials if trial.train} == {(340,)}
    assert {trial.split for trial in trials} == {"test"}


def test_a_trial_trains_what_its_seed_and_variant_say(shipped: Callable[..., Listed]) -> None:
    by_name = {(trial.variant, trial.seed): trial.config for trial in shipped("ablation_components").trials}
    assert by_name["sft", 2].arms == ("sft",)
    assert by_name["all", 1].seed == 1
    assert set(by_name["representational", 0].experts) == {"speech"}
    assert by_name["block", 0].experts == {}


def test_a_bound_on_questions_and_rungs_reach_each_trial(shipped: Callable[..., Listed]) -> None:
    space = "space={optim.lr: {log_uniform: [0.001, 0.01]}}"
    found = shipped("loss_weights", "search.trials=3", "objective.rows_per_task=5", space)
    assert [tuple(found.trial(number).rungs) for number in range(found.count)] == [(170, 255, 340)] * 3
    assert {trial.config.evaluation.max_rows_per_task for trial in found.examples} == {5}


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Listed]:
    """The trials of a shipped sweep that are known beforehand."""
    monkeypatch.chdir(ROOT)

    def listed(name: str, *overrides: str) -> Listed:
        config = load_config(ROOT / f"sweeps/configs/{name}.yaml", SweepConfig, list(overrides))
        found = trials_of(config, tmp_path)
        assert isinstance(found, Listed)
        return found

    return listed
