"""Every sweep that ships can be started, and its trials differ in what it asks about and in nothing else."""

from pathlib import Path

import pytest

from coat_ray.config import RunConfig, SweepConfig, load_config
from coat_ray.model.projectors import PROJECTORS
from sweeps.spaces import Draws, apply, check, points, suggest

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "sweeps" / "configs").glob("*.yaml"))
ABLATIONS = [path for path in CONFIGS if path.stem.startswith("ablation_")]


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def trials(path):
    """Every point that is trained, with its run."""
    sweep = load_config(path, SweepConfig)
    drawn = sweep.search.algorithm == "tpe"
    found = [suggest(Draws(0, number), sweep) for number in range(5)] if drawn else points(sweep)
    return {point.variant or point.id: apply(sweep, point, 1) for point in found if point.train}


def test_the_questions_of_the_method_ship_as_sweeps():
    assert {path.stem for path in CONFIGS} >= {
        "ablation_components",
        "ablation_experts",
        "ablation_projector",
        "loss_weights",
    }


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_shipped_sweep_is_named_after_its_file_and_fits_its_run(path):
    sweep = load_config(path, SweepConfig)
    assert sweep.name == path.stem
    assert check(sweep).name == Path(sweep.run).stem


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_trial_of_a_shipped_sweep_has_the_same_budget(path):
    runs = trials(path).values()
    same = {"seed", "corpus", "lora", "optim", "training", "augment", "deepspeed", "resources", "evaluation"}
    assert len({run.model_dump_json(include=same) for run in runs}) == 1
    assert len({tuple((stage.name, stage.steps) for stage in run.stages) for run in runs}) == 1
    assert all(run.projector.kind in PROJECTORS for run in runs)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_trial_takes_half_of_what_the_main_job_gives_an_arm(path):
    whole = load_config("jobs/configs/embedded.yaml", RunConfig)
    for run in trials(path).values():
        assert [2 * stage.steps for stage in run.stages] == [stage.steps for stage in whole.stages]


@pytest.mark.parametrize("path", ABLATIONS, ids=lambda path: path.stem)
def test_an_ablation_trains_each_variant_with_three_seeds_and_stops_none(path):
    sweep = load_config(path, SweepConfig)
    assert len(sweep.seeds) == 3
    assert sweep.stopping.kind == "none"


def test_components_are_added_one_after_the_other():
    sweep = load_config("sweeps/configs/ablation_components.yaml", SweepConfig)
    assert [(point.variant, point.train) for point in points(sweep)][:2] == [("base", False), ("sft", True)]
    found = {
        name: (run.arms, [stage.active for stage in run.stages], set(run.experts))
        for name, run in trials(ROOT / "sweeps/configs/ablation_components.yaml").items()
        if name != "sft"
    }
    every = ("paralinguistic", "pitch", "recon", "sed", "speech")
    assert found == {
        "block": (("coat",), [(), ()], set()),
        "representational": (("coat",), [("recon",), ("recon", "speech")], {"speech"}),
        "all": (("coat",), [("recon",), every], set(every) - {"recon"}),
    }
    assert trials(ROOT / "sweeps/configs/ablation_components.yaml")["sft"].arms == ("sft",)


def test_each_expert_is_left_out_once_and_the_others_keep_their_weights():
    runs = trials(ROOT / "sweeps/configs/ablation_experts.yaml")
    whole = runs.pop("all")
    assert {name.removeprefix("no_") for name in runs} == set(whole.stages[1].active)
    for name, run in runs.items():
        role = name.removeprefix("no_")
        for stage, before in zip(run.stages, whole.stages, strict=True):
            assert dict(stage.weights) == dict(before.weights) | ({role: 0} if role in before.weights else {})
        assert role not in run.experts


def test_heads_differ_in_kind_and_width_alone():
    runs = trials(ROOT / "sweeps/configs/ablation_projector.yaml")
    assert {run.projector.kind for run in runs.values()} == set(PROJECTORS)
    assert len({run.projector for run in runs.values()}) == len(runs) == 4
    assert len({run.model_dump_json(exclude={"name", "projector"}) for run in runs.values()}) == 1


def test_every_weight_is_searched_a_decade_to_either_side_of_the_runs_own():
    sweep = load_config("sweeps/configs/loss_weights.yaml", SweepConfig)
    base = load_config(sweep.run, RunConfig)
    own = {f"stages.{i}.weights.{role}": w for i, stage in enumerate(base.stages) for role, w in stage.weights.items()}
    ranges = {key: domain.bounds for key, domain in sweep.space.items() if key in own}
    assert ranges == {key: pytest.approx((weight / 10, weight * 10)) for key, weight in own.items()}
    assert min(sweep.stopping.rungs) > base.stages[0].steps / base.total_steps
