"""Points of a space: the same for the same seed, inside their domains, and refused before anything starts."""

import json
import math

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, kstest

from coat_ray.config import ConfigError, SweepConfig, validate
from coat_ray.config.domains import LogUniform, Simplex, Uniform
from sweeps.spaces import Draws, Point, Recorded, apply, base_config, check, points, suggest

RUN = """
name: whole
arms: [coat]
experts: {pitch: {model: basic_pitch}, sed: {model: panns}}
resources: {encode_pools: {sed: {min_actors: 1}}}
corpus: {mixture: {asr: 0.5, music: 0.5}}
stages:
  - {name: one, steps: 4, weights: {recon: 1.0}}
  - {name: two, steps: 6, weights: {pitch: 2.0, sed: 1.0}}
"""
SPACE = {
    "stages.1.weights": {"simplex": ["sed", "pitch", "recon"], "total": 3.0},
    "optim.lr": {"log_uniform": [1e-4, 1e-2]},
    "lora.dropout": {"uniform": [0, 0.5]},
    "lora.rank": {"int_uniform": [2, 32]},
    "projector.kind": {"choice": ["transformer", "linear"]},
    "lora.target_modules": {"choice": [["q_proj"], ["q_proj", "v_proj"]]},
}
ALL = 2000


@pytest.fixture
def run(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(RUN)
    return str(path)


def sweep(run="run.yaml", **data):
    return validate({"name": "trial", "run": run} | data, SweepConfig, "sweep.yaml")


def random(space, trials=5, seed=0, **data):
    return sweep(space=space, search={"algorithm": "random", "trials": trials, "seed": seed}, **data)


def tpe(space, **data):
    return sweep(space=space, search={"algorithm": "tpe", "trials": 5}, **data)


seeds = st.integers(0, 2**32)


@settings(deadline=None)
@given(seed=seeds, order=st.permutations(list(SPACE)), roles=st.permutations(["sed", "pitch", "recon"]))
def test_the_same_seed_draws_the_same_points_in_every_order_of_keys_and_names(seed, order, roles):
    shuffled = {key: SPACE[key] for key in order}
    shuffled["stages.1.weights"] = SPACE["stages.1.weights"] | {"simplex": roles}
    assert points(random(shuffled, seed=seed)) == points(random(SPACE, seed=seed))
    assert points(random(SPACE, seed=seed)) != points(random(SPACE, seed=seed + 1))


@settings(deadline=None)
@given(seed=seeds, number=st.integers(0, 10_000))
def test_every_drawn_value_lies_inside_its_domain(seed, number):
    params = dict(suggest(Draws(seed, number), tpe(SPACE)).params)
    shares = [params.pop(f"stages.1.weights.{role}") for role in ("pitch", "recon", "sed")]
    assert min(shares) > 0
    assert sum(shares) == pytest.approx(3.0, rel=1e-5)
    assert 1e-4 <= params.pop("optim.lr") <= 1e-2
    assert 0 <= params.pop("lora.dropout") <= 0.5
    assert params["lora.rank"] in range(2, 33)
    assert isinstance(params.pop("lora.rank"), int)
    assert params.pop("projector.kind") in ("transformer", "linear")
    assert params.pop("lora.target_modules") in (["q_proj"], ["q_proj", "v_proj"])
    assert params == {}


def test_a_draw_is_the_same_on_every_machine():
    point = points(random(SPACE, trials=1, seed=7))[0]
    assert point.id == "736722a3"
    assert point.params == {
        "lora.dropout": 0.293201,
        "lora.rank": 30,
        "lora.target_modules": ["q_proj"],
        "optim.lr": 0.00197589,
        "projector.kind": "linear",
        "stages.1.weights.pitch": 1.12218,
        "stages.1.weights.recon": 1.24035,
        "stages.1.weights.sed": 0.637467,
    }


def test_more_trials_add_points_and_another_key_changes_no_other():
    few, many = points(random(SPACE, trials=3)), points(random(SPACE, trials=9))
    assert many[:3] == few
    assert len({point.id for point in many}) == 9
    alone = points(random({"optim.lr": SPACE["optim.lr"]}, trials=3))
    assert [point.params["optim.lr"] for point in alone] == [point.params["optim.lr"] for point in few]


def drawn(domain, names):
    draws = [domain.suggest("key", Draws(0, number)) for number in range(ALL)]
    return [np.array([draw[name] for draw in draws]) for name in names]


def test_a_log_uniform_draw_is_uniform_in_its_logarithm_and_a_uniform_one_is_not():
    (logged,) = drawn(LogUniform(log_uniform=(1e-3, 10.0)), ["key"])
    (plain,) = drawn(Uniform(uniform=(1e-3, 10.0)), ["key"])

    def uniform_in_logarithm(values):
        return kstest(np.log10(values), "uniform", args=(-3, 4)).pvalue

    assert uniform_in_logarithm(logged) > 0.05
    assert uniform_in_logarithm(plain) < 1e-6
    assert kstest(plain, "uniform", args=(1e-3, 10.0)).pvalue > 0.05


def test_every_share_of_a_simplex_is_distributed_alike():
    columns = drawn(Simplex(simplex=("d", "b", "a", "c"), total=2.0), [f"key.{name}" for name in "abcd"])
    for column in columns:
        assert kstest(column / 2.0, beta(1, 3).cdf).pvalue > 0.01
    assert np.corrcoef(columns) == pytest.approx(np.where(np.eye(4) == 1, 1.0, -1 / 3), abs=0.06)


def test_integers_and_choices_are_each_as_likely():
    space = {"lora.rank": {"int_uniform": [1, 4]}, "projector.kind": {"choice": ["a", "b"]}}
    found = [suggest(Draws(0, number), tpe(space)).params for number in range(ALL)]
    for key, count in (("lora.rank", 4), ("projector.kind", 2)):
        values, counts = np.unique([params[key] for params in found], return_counts=True)
        assert len(values) == count
        assert counts == pytest.approx(ALL / count, rel=0.12)


def test_a_grid_has_every_combination_once_in_a_fixed_order():
    space = {
        "optim.lr": {"log_uniform": [0.001, 0.1], "points": 3},
        "lora.rank": {"int_uniform": [2, 4]},
        "projector.num_heads": {"int_uniform": [1, 9], "points": 3},
        "lora.dropout": {"uniform": [0, 0.5], "points": 2},
    }
    found = points(sweep(space=space))
    assert len({point.id for point in found}) == len(found) == 3 * 3 * 3 * 2
    assert found == points(sweep(space=dict(reversed(space.items()))))
    assert [point.params["optim.lr"] for point in found[:9:3]] == [0.001, 0.01, 0.1]
    assert sorted({point.params["projector.num_heads"] for point in found}) == [1, 5, 9]
    assert {point.params["lora.dropout"] for point in found} == {0, 0.5}


def test_a_grid_of_thousands_is_refused():
    space = {f"stages.{i}.steps": {"int_uniform": [1, 100]} for i in range(2)}
    with pytest.raises(ConfigError, match="the grid has 10000 points, more than 2000: draw some of them"):
        points(sweep(space=space))


def test_random_search_draws_no_point_twice_and_says_when_there_are_no_more():
    space = {"lora.rank": {"choice": [4, 8, 16]}}
    assert sorted(point.params["lora.rank"] for point in points(random(space, trials=3))) == [4, 8, 16]
    with pytest.raises(ConfigError, match=r"only 3 different points could be drawn, and search.trials is 4"):
        points(random(space, trials=4))


def test_a_simplex_has_no_grid():
    with pytest.raises(ValueError, match=r"stages\.0\.weights: a simplex has no grid"):
        Simplex(simplex=("a", "b")).grid("stages.0.weights")


def test_a_search_that_could_not_find_so_many_different_points_is_refused(run):
    with pytest.raises(ConfigError, match=r"only 3 different points could be drawn, and search\.trials is 5"):
        check(tpe({"lora.rank": {"choice": [4, 8, 16]}}, run=run))


def test_an_id_names_what_a_point_is_and_nothing_else():
    one, other = {"a": 1, "b": [2]}, {"b": [2], "a": 1}
    assert Point(one).id == Point(other).id == Point(one, variant="x").id
    assert len({Point(one).id, Point(one | {"a": 2}).id, Point({}).id, Point({}, train=False).id}) == 4
    assert Point(one, variant="x").trial(3) == f"x-{Point(one).id}-s3"


class Scripted:
    """A trial that answers with prepared values and remembers what it was asked."""

    def __init__(self, **answers):
        self.answers, self.asked = answers, {}

    def suggest_float(self, name, low, high, *, log=False):
        self.asked[name] = (low, high, log)
        return self.answers.get(name, low)

    def suggest_int(self, name, low, high):
        self.asked[name] = (low, high)
        return high

    def suggest_categorical(self, name, choices):
        self.asked[name] = tuple(choices)
        return choices[-1]


def test_a_trial_is_asked_for_each_degree_of_freedom_once():
    trial = Scripted(**{"stages.1.weights[pitch]": 0.75, "stages.1.weights[recon]": 0.5, "optim.lr": 0.001234567})
    point = suggest(trial, tpe(SPACE))
    assert trial.asked.pop("optim.lr") == (1e-4, 1e-2, True)
    assert trial.asked.pop("lora.dropout") == (0, 0.5, False)
    assert trial.asked.pop("lora.rank") == (2, 32)
    assert trial.asked.pop("projector.kind") == ('"transformer"', '"linear"')
    assert trial.asked.pop("lora.target_modules") == ('["q_proj"]', '["q_proj", "v_proj"]')
    assert set(trial.asked) == {"stages.1.weights[pitch]", "stages.1.weights[recon]"}
    assert point.params["optim.lr"] == 0.00123457
    assert point.params["lora.target_modules"] == ["q_proj", "v_proj"]
    weights = [point.params[f"stages.1.weights.{role}"] for role in ("pitch", "recon", "sed")]
    assert weights == pytest.approx([1.5, 0.75, 0.75])


unit = st.floats(1e-6, 1 - 1e-6)


@settings(deadline=None)
@given(first=st.tuples(unit, unit), second=st.tuples(unit, unit))
def test_other_numbers_give_other_shares(first, second):
    domain, names = Simplex(simplex=("a", "b", "c")), ("k[a]", "k[b]")
    one, other = (domain.suggest("k", Scripted(**dict(zip(names, u, strict=True)))) for u in (first, second))
    apart = max(abs(a - b) for a, b in zip(first, second, strict=True))
    assert one != other or apart < 0.01


def test_optuna_searches_a_space_and_its_record_gives_the_same_points():
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    config = tpe(SPACE)

    def searched():
        study = optuna.create_study(directions=["maximize", "minimize"], sampler=optuna.samplers.TPESampler(seed=3))
        found = []
        for _ in range(14):
            trial = study.ask()
            found.append(suggest(trial, config))
            assert suggest(Recorded(trial.params), config) == found[-1]
            study.tell(trial, [-abs(math.log(found[-1].params["optim.lr"] / 1e-3)), found[-1].params["lora.rank"]])
        return found

    first = searched()
    assert len({point.id for point in first}) > 10
    assert searched() == first


def test_a_point_becomes_a_run_that_is_named_after_its_trial(run):
    config = random(SPACE, run=run, trials=2, set=["stages.0.steps=2"], seeds=[3, 5])
    for point in points(config):
        made = apply(config, point, 5)
        assert (made.name, made.seed) == (f"trial-{point.id}-s5", 5)
        assert made.total_steps == 8
        assert made.optim.lr == point.params["optim.lr"]
        assert list(made.lora.target_modules) == point.params["lora.target_modules"]
        assert sum(made.stages[1].weights.values()) == pytest.approx(3.0, rel=1e-5)
        assert point.seeds(config) == (3, 5)


def test_an_expert_that_no_stage_weighs_is_left_out_of_the_run(run):
    config = sweep(run, space={"stages.1.weights.sed": {"choice": [0, 1.0]}})
    without, with_it = (apply(config, point, 0) for point in points(config))
    assert (set(without.experts), set(without.resources.encode_pools)) == ({"pitch"}, set())
    assert (set(with_it.experts), set(with_it.resources.encode_pools)) == ({"pitch", "sed"}, {"sed"})


def test_the_longest_names_still_make_the_name_of_a_model(run):
    config = sweep(run, variants=[{"name": "v" * 18}], seeds=[9999]).model_copy(update={"name": "s" * 24})
    made = apply(config, points(config)[0], 9999)
    assert len(f"{made.name}-{made.arms[0]}") == 63


def test_variants_come_as_declared_and_a_base_that_is_not_trained_has_one_seed(run):
    variants = [
        {"name": "base", "train": False},
        {"name": "sft", "set": ["arms=[sft]", "optim.lr=1e-3", "corpus.mixture.asr=0.25"]},
        {"name": "plain"},
    ]
    config = sweep(run, variants=variants, seeds=[1, 2])
    check(config)
    base, sft, plain = points(config)
    assert [point.variant for point in (base, sft, plain)] == ["base", "sft", "plain"]
    assert sft.params == {"arms": ["sft"], "optim.lr": 0.001, "corpus.mixture.asr": 0.25}
    assert (base.train, base.seeds(config), plain.seeds(config)) == (False, (1,), (1, 2))
    made = apply(config, sft, 2)
    assert (made.arms, made.optim.lr, made.corpus.mixture) == (("sft",), 0.001, {"asr": 0.25, "music": 0.5})


def test_two_variants_that_are_the_same_are_refused(run):
    twice = [{"name": "a", "set": ["optim.lr=0.001"]}, {"name": "b", "set": ["optim.lr=1e-3"]}]
    with pytest.raises(ConfigError, match="variants a and b are the same"):
        points(sweep(run, variants=twice))


@pytest.mark.parametrize(
    ("space", "sentence"),
    [
        ({"optim.lrr": {"uniform": [0, 1]}}, "'optim.lrr' is no key of {run}: no 'lrr' there; did you mean 'lr'?"),
        ({"optm.lr": {"uniform": [0, 1]}}, "no 'optm' there; did you mean 'optim'?"),
        ({"stages.2.steps": {"int_uniform": [1, 2]}}, "'stages.2.steps' is no key of {run}: stages are 0 to 1"),
        ({"stages.two.steps": {"int_uniform": [1, 2]}}, "stages are 0 to 1"),
        ({"stages.1.weights.pich": {"uniform": [0, 1]}}, "did you mean 'pitch'?"),
        ({"stages.1.weights": {"simplex": ["pitch", "sd"]}}, "did you mean 'sed'?"),
        ({"experts.pich.layer": {"int_uniform": [1, 2]}}, "no 'pich' there; did you mean 'pitch'?"),
        ({"corpus.mixture.musik": {"uniform": [0.1, 1]}}, "no 'musik' there; did you mean 'music'?"),
        ({"optim.lr.low": {"uniform": [0.1, 1]}}, "optim.lr: Input should be a valid number"),
        ({"optim.lr": {"uniform": [-1, 1]}}, 'the point {{"optim.lr": -1.0}}: {run}: optim.lr: Input should be gre'),
        ({"lora.dropout": {"uniform": [0, 1]}}, "lora.dropout: Input should be less than 1"),
        ({"lora.rank": {"uniform": [4, 16]}}, "lora.rank: Input should be a valid integer"),
        ({"balance.kind": {"choice": ["fixed", "gradnorm"]}}, "balance.kind: Input should be 'fixed' or 'uncertainty'"),
        ({"arms": {"choice": [["coat"], ["sft", "coat"]]}}, "a trial trains one arm, and {run} has sft, coat"),
        ({"corpus.max_seconds": {"uniform": [5, 20]}}, "corpus.max_seconds decides which targets are made"),
        (
            {"corpus.max_seconds": {"int_uniform": [5, 2500]}},
            "tpe makes the targets of all values of corpus.max_seconds before it draws",
        ),
        (
            {"balance.kind": {"choice": ["uncertainty", "fixed"]}, "balance.lr": {"log_uniform": [1e-4, 1e-2]}},
            "lr has no effect with kind=fixed",
        ),
    ],
)
def test_what_the_run_does_not_take_is_refused_before_anything_starts(run, space, sentence):
    with pytest.raises(ConfigError) as caught:
        check(tpe(space, run=run))
    assert sentence.format(run=run) in str(caught.value)
    assert str(caught.value).startswith("sweep trial: ")


def test_a_variant_that_the_run_does_not_take_is_named(run):
    with pytest.raises(ConfigError, match=r"sweep trial: variant b: .*lora\.rank: Input should be greater"):
        check(sweep(run, variants=[{"name": "a"}, {"name": "b", "set": ["lora.rank=0"]}]))


def test_values_that_do_not_go_together_are_refused_wherever_they_are_in_a_grid(run):
    space = {"training.batch_rows": {"choice": [8, None]}, "training.batch_tokens": {"choice": [None, 512]}}
    with pytest.raises(ConfigError, match="batch_rows and batch_tokens both say how large a batch is"):
        check(sweep(run, space=space))


def test_a_space_that_the_run_takes_is_checked_without_a_word(run):
    assert check(tpe(SPACE, run=run)) == base_config(tpe(SPACE, run=run))
    assert check(random(SPACE, run=run)).name == "whole"


def test_a_run_that_is_not_there_and_points_that_are_not_known_yet_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="no configuration file at"):
        check(random(SPACE, run=str(tmp_path / "none.yaml")))
    with pytest.raises(ConfigError, match=r"tpe draws each point after it has seen others; ask suggest\(\) for it"):
        points(tpe(SPACE))
    with pytest.raises(ConfigError, match="has variants, and nothing to search"):
        suggest(Draws(0, 0), sweep(variants=[{"name": "a"}]))


def test_a_range_is_tried_inside_as_well_as_at_its_ends():
    probes = [probe["k"] for probe in Uniform(uniform=(4, 16)).probes("k")]
    assert (probes[0], probes[-1]) == (4, 16)
    assert [value for value in probes if value != round(value)] == [8.58359]


def test_overrides_of_a_point_are_what_coat_train_takes():
    point = Point({"b": ["q_proj"], "a": 1e-05, "c": None, "d": True})
    assert point.overrides == ["a=1e-05", 'b=["q_proj"]', "c=null", "d=true"]
    assert json.loads(point.overrides[1].partition("=")[2]) == ["q_proj"]
