"""A sweep says what it varies, how it searches and what counts; what has no effect or no meaning is refused."""

from typing import get_args

import pytest

from coat_ray.config import ConfigError, SweepConfig, load_config, validate
from coat_ray.config.sweep import StoppingConfig
from coat_ray.corpus.manifest import Task

RANDOM = {"algorithm": "random", "trials": 3}
TPE = {"algorithm": "tpe", "trials": 3}
LR = {"optim.lr": {"log_uniform": [1e-4, 1e-2]}}
RANK = {"lora.rank": {"choice": [4, 8]}}
SHARES = {"stages.1.weights": {"simplex": ["sed", "pitch"], "total": 2.0}}
VARIANTS = [{"name": "base", "train": False}, {"name": "sft", "set": ["arms=[sft]"]}]


def sweep(**data):
    base = {"name": "trial", "run": "run.yaml"}
    return validate(base | ({} if {"space", "variants"} & set(data) else {"space": RANK}) | data, SweepConfig, "x.yaml")


def refused(**data):
    with pytest.raises(ConfigError) as caught:
        sweep(**data)
    return str(caught.value)


def test_a_sweep_is_a_space_or_variants_with_one_seed_and_held_out_score_unless_it_says_otherwise():
    config = sweep()
    assert (config.seeds, config.search.algorithm, config.stopping.kind) == ((0,), "grid", "none")
    assert (config.objective.metric, config.objective.mode, config.objective.split) == ("score", "max", "validation")
    assert [variant.train for variant in sweep(variants=VARIANTS).variants] == [False, True]


@pytest.mark.parametrize(
    "data",
    [
        {"variants": VARIANTS, "objective": {"metric": "asr"}},
        {"space": LR | RANK | SHARES, "search": TPE, "stopping": {"kind": "asha"}},
        {"space": {"lora.rank": {"int_uniform": [2, 8], "points": 3}, "lora.dropout": {"choice": [0, 0.1]}}},
    ],
    ids=["variants", "search", "grid"],
)
def test_a_sweep_is_read_back_from_its_record_as_it_was(data):
    config = sweep(**data)
    assert SweepConfig.model_validate_json(config.model_dump_json()) == config
    assert validate(config.model_dump(mode="json"), SweepConfig, "record") == config


def test_keys_of_a_space_are_written_in_yaml_as_dotted_keys_of_the_run(tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text("name: trial\nrun: run.yaml\nspace:\n  optim.lr: {log_uniform: [1e-4, 1e-2], points: 3}\n")
    config = load_config(path, SweepConfig, ["seeds=[0,1]"])
    assert set(config.space) == {"optim.lr"}
    assert config.space["optim.lr"].bounds == (1e-4, 1e-2)
    assert config.seeds == (0, 1)


@pytest.mark.parametrize(
    "metric", ["loss", "ce", "token_accuracy", "grad_norm", "recon/mse", "pitch/focal", "sed/grad"]
)
def test_what_is_measured_on_training_rows_is_no_objective(metric):
    assert f"metric '{metric}' is measured on the rows that are trained on" in refused(objective={"metric": metric})


@pytest.mark.parametrize("metric", ["score", *get_args(Task), "rows_per_second", "step_seconds", "peak_rss_mib"])
def test_a_metric_is_made_good_and_never_bad(metric):
    good = sweep(objective={"metric": metric}).objective.mode
    assert good == ("min" if metric in ("asr", "step_seconds", "peak_rss_mib") else "max")
    assert sweep(objective={"metric": metric, "mode": good}).objective.mode == good
    bad = {"min": "max", "max": "min"}[good]
    assert f"mode={bad} looks for the worst {metric}" in refused(objective={"metric": metric, "mode": bad})


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"space": LR, "variants": VARIANTS}, "either a space, which is searched, or variants; found both"),
        ({"space": None}, "found neither"),
        ({"seeds": [1, 1]}, "each seed once; found 1, 1"),
        ({"variants": [VARIANTS[1]] * 2}, "each variant once; found sft, sft"),
        ({"variants": VARIANTS, "search": RANDOM}, "search has no effect with variants"),
        ({"variants": VARIANTS, "stopping": {"kind": "asha"}}, "compared at equal budgets: leave stopping out"),
        ({"variants": [{"name": "b", "train": False, "set": ["a=1"]}]}, "'b' is not trained: its set has no effect"),
        ({"variants": [{"name": "No"}]}, "variants.0.name: String should match pattern"),
        ({"search": {"algorithm": "random"}}, "say in trials how many points it draws"),
        ({"search": {"trials": 3}}, "search: trials has no effect with algorithm=grid"),
        ({"search": {"seed": 3}}, "search: seed has no effect with algorithm=grid"),
        ({"search": TPE, "seeds": [0, 1]}, "tpe learns from one number per point: give one seed"),
        ({"space": LR}, "optim.lr: a grid needs points: n beside its range"),
        ({"space": SHARES}, "stages.1.weights: a grid needs values, which a simplex does not have"),
        ({"space": {"a": {"uniform": [0, 1], "points": 3}}, "search": RANDOM}, "points has no effect with algorithm"),
        ({"objective": {"metric": "musik"}}, "no metric 'musik'"),
        ({"objective": {"metric": "musik"}}, "did you mean 'music'?"),
        ({"objective": {"mode": "most"}}, "objective.mode: Input should be 'max' or 'min'"),
        ({"objective": {"split": "train"}}, "objective.split: Input should be 'validation' or 'test'"),
        ({"objective": {"cost": "step_seconds"}}, "objective.cost is traded by algorithm=tpe only"),
        ({"objective": {"metric": "step_seconds", "cost": "step_seconds"}, "search": TPE}, "both step_seconds"),
        ({"objective": {"cost": "step_seconds"}, "search": TPE, "stopping": {"kind": "asha"}}, "by one number"),
        ({"stopping": {"rungs": [0.5]}}, "stopping: rungs has no effect with kind=none"),
        ({"stopping": {"reduction": 3}}, "stopping: reduction has no effect with kind=none"),
        ({"stopping": {"kind": "asha", "rungs": [0.5, 0.25]}}, "rungs [0.5, 0.25]: each comes after the one before"),
        ({"stopping": {"kind": "asha", "rungs": [1.0]}}, "stopping.rungs.0: Input should be less than 1"),
        ({"set": ["optim.lr"]}, "set: 'optim.lr': expected key.sub=value"),
        ({"set": ["seed=3"]}, "set: 'seed' cannot be set: a sweep lists them under seeds"),
        ({"set": ["name=x"]}, "set: 'name' cannot be set: a sweep names every run after its trial"),
        ({"set": ["optim.lr=1", "optim.lr=2"]}, "set: 'optim.lr' is set twice"),
        ({"set": ["lora.rank=3"]}, "lora.rank is in set and in the space, which overrides it"),
        ({"set": ["stages[0].steps=1"]}, "write a key with dots, such as stages.1.weights.pitch"),
        ({"variants": [{"name": "a", "set": ["optim..lr=1"]}]}, "variant 'a': 'optim..lr': write a key with dots"),
        ({"variants": [{"name": "a", "set": ["seed=1"]}]}, "variant 'a': 'seed' cannot be set"),
        ({"space": {"evaluation.compare": {"choice": [True, False]}}}, "changes how trials are judged"),
        (
            {"space": SHARES | {"stages.1.weights.pitch": {"choice": [0, 1]}}, "search": RANDOM},
            "space: 'stages.1.weights.pitch' is set twice",
        ),
        (
            {"space": {"optim": {"choice": [{}, {"lr": 1}]}} | LR, "search": RANDOM},
            "space: 'optim.lr' is set twice, once in 'optim'",
        ),
        ({"serach": RANDOM}, "unknown key 'serach'; did you mean 'search'?"),
    ],
)
def test_what_has_no_effect_or_no_meaning_is_refused_in_a_sentence(data, sentence):
    message = refused(**data)
    assert sentence in message
    assert message.startswith("x.yaml: ")


@pytest.mark.parametrize(
    ("domain", "sentence"),
    [
        (3, "a.b: expected one of {uniform|log_uniform|int_uniform|choice|simplex: …}"),
        ({}, "a.b: expected one of"),
        ({"loguniform": [1, 2]}, "did you mean 'log_uniform'?"),
        ({"uniform": [1, 2], "choice": [1, 2]}, "a.b: expected one of"),
        ({"uniform": [1, 2], "pionts": 3}, "a.b: uniform has no key 'pionts'; did you mean 'points'?"),
        ({"choice": [1, 2], "points": 3}, "a.b: choice has no key 'points'"),
        ({"uniform": [2, 1]}, "[2, 1]: the lower bound comes first"),
        ({"int_uniform": [2, 2]}, "[2, 2]: the lower bound comes first, and is not the upper one"),
        ({"int_uniform": [1, 2.5]}, "Input should be a valid integer"),
        ({"uniform": [0, float("inf")]}, "finite number"),
        ({"uniform": [1]}, "Field required"),
        ({"log_uniform": [0, 1]}, "a logarithmic scale has no 0: to try an expert without weight, use choice"),
        ({"choice": [1]}, "at least 2 items"),
        ({"choice": [[1], [2], [1]]}, "the choice names [1] more than once"),
        ({"simplex": ["sed"]}, "at least 2 items"),
        ({"simplex": ["sed", "pitch", "sed"]}, "the simplex names 'sed' more than once"),
        ({"simplex": ["sed", "pitch"], "total": 0}, "greater than 0"),
        ({"uniform": [0, 1], "points": 1}, "greater than or equal to 2"),
    ],
)
def test_what_is_no_domain_is_refused_in_a_sentence(domain, sentence):
    message = refused(space={"a.b": domain}, search=RANDOM)
    assert sentence in message
    assert "a.b" in message


def test_early_stopping_compares_trials_after_fractions_of_their_steps():
    assert StoppingConfig(kind="asha").steps(340) == (85, 170)
    assert StoppingConfig(kind="asha", rungs=(0.01, 0.02, 0.9)).steps(3) == (1,)
    assert StoppingConfig().steps(340) == ()
