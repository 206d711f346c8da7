"""A configuration is whole, frozen, and wrong only in sentences."""

import json

import pytest
from pydantic import ValidationError

from coat_ray.config import ConfigError, RunConfig, load_config, validate

MINIMAL = "name: trial\nstages: [{name: one, steps: 3, weights: {recon: 1.0}}]\n"
TWO_STAGES = """
name: trial
optim: {token_lr: 0.1}
experts: {pitch: {model: basic_pitch}}
stages:
  - {name: one, steps: 3, weights: {recon: 1.0}}
  - {name: two, steps: 5, weights: {recon: 0, pitch: 2.0}}
"""


@pytest.fixture
def load(tmp_path):
    def _load(text, *overrides):
        path = tmp_path / "run.yaml"
        path.write_text(text)
        return load_config(path, RunConfig, list(overrides))

    return _load


def test_defaults_fill_what_a_file_leaves_out(load):
    config = load(MINIMAL)
    assert config.arms == ("coat",)
    assert config.lora.rank == 16
    assert config.lora.alpha == 32


def test_stages_know_their_steps_and_their_active_roles(load):
    config = load(TWO_STAGES)
    assert config.total_steps == 8
    assert [stage.active for stage in config.stages] == [("recon",), ("pitch",)]


def test_a_configuration_cannot_be_changed(load):
    with pytest.raises(ValidationError, match="frozen"):
        load(MINIMAL).seed = 1


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("optim.lr=1e-4", lambda c: c.optim.lr == 1e-4),
        ("arms=[sft,coat]", lambda c: c.arms == ("sft", "coat")),
        ("stages.1.steps=7", lambda c: c.stages[1].steps == 7),
        ("stages[0].weights.recon=0.5", lambda c: c.stages[0].weights == {"recon": 0.5}),
        ("corpus.mixture={asr: 1, music: 3}", lambda c: c.corpus.mixture == {"asr": 1, "music": 3}),
        ("optim.token_lr=null", lambda c: c.optim.token_lr is None),
        ("experts.speech={model: spidr}", lambda c: set(c.experts) == {"pitch", "speech"}),
        ("backbone.weights=a=b", lambda c: c.backbone.weights == "a=b"),
    ],
)
def test_an_override_changes_one_value(load, override, value):
    assert value(load(TWO_STAGES, override))
    assert not value(load(TWO_STAGES))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (MINIMAL + "optm: {lr: 1}", "unknown key 'optm'; did you mean 'optim'?"),
        (MINIMAL + "optim: {rl: 1}", "unknown key 'optim.rl'"),
        (MINIMAL + "optim: {head_lrr: 1}", "unknown key 'optim.head_lrr'; did you mean 'head_lr'?"),
        ("name: x\nstages: [{name: one, stepps: 3}]", "unknown key 'stages.0.stepps'; did you mean 'steps'?"),
        (MINIMAL + "experts: {sed: {modle: panns}}", "unknown key 'experts.sed.modle'; did you mean 'model'?"),
    ],
)
def test_a_misspelled_key_names_its_neighbour(load, text, sentence):
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert sentence in str(caught.value)
    assert str(caught.value).count("run.yaml") == str(caught.value).count("\n") + 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "name: Field required"),
        ("- a\n- b", "expected a mapping of keys, found list"),
        ("name: [", "run.yaml: "),
        (MINIMAL + "seed: -1", "seed: Input should be greater than or equal to 0"),
        (MINIMAL.replace("trial", "Not A Name"), "name: String should match pattern"),
        (MINIMAL.replace("recon", "pich"), "stage 'one' weights 'pich', which is neither 'recon' nor one of experts"),
        (TWO_STAGES.replace("pitch: 2.0", "pich: 2.0"), "did you mean 'pitch'?"),
        (TWO_STAGES.replace("pitch: {model", "recon: {model"), "takes no entry under experts"),
        (TWO_STAGES.replace("name: two", "name: one"), "each stage once; found one, one"),
        (MINIMAL + "arms: [coat, coat]", "each arm once"),
        (MINIMAL.replace("1.0", "-1.0"), "stages.0.weights.recon: Input should be greater than or equal to 0"),
        (MINIMAL + "corpus: {mixture: {asr: 0}}", "corpus.mixture.asr: Input should be greater than 0"),
        (MINIMAL + "backbone: {weights: '${oc.env:HOME}'}", "looks something up outside the file"),
        (MINIMAL + "backbone: {weights: '${nowhere}'}", "nowhere"),
    ],
)
def test_what_cannot_be_used_is_said_in_a_sentence(load, text, sentence):
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("optim.lr", "override 'optim.lr': expected key.sub=value"),
        ("=3", "expected key.sub=value"),
        ("optim..lr=3", "expected key.sub=value"),
        ("stages.9.steps=3", "override 'stages.9.steps=3': list index out of range"),
        ("optim.lrr=3", "unknown key 'optim.lrr'; did you mean 'lr'?"),
        ("name=${oc.env:HOME}", "looks something up outside the file"),
    ],
)
def test_an_override_that_cannot_be_used_is_said_in_a_sentence(load, override, sentence):
    with pytest.raises(ConfigError) as caught:
        load(MINIMAL, override)
    assert sentence in str(caught.value)


def test_a_value_may_refer_to_another_one(load):
    assert load(MINIMAL + "seed: 4\ntraining: {log_every: '${seed}'}").training.log_every == 4


LOOKUPS = [
    "${oc.env:COAT_SECRET}",
    "${${name}.env:COAT_SECRET}",
    "${ oc.env : COAT_SECRET }",
    "prefix-${oc.${name}:COAT_SECRET}",
    "${oc.decode:'${oc.env:COAT_SECRET}'}",
    "\\${oc.env:COAT_SECRET}",
    "${seed}${${name}.env:COAT_SECRET}",
]


@pytest.mark.parametrize("value", LOOKUPS)
@pytest.mark.parametrize("place", ["file", "override"])
def test_no_value_looks_up_the_environment(load, monkeypatch, value, place):
    monkeypatch.setenv("COAT_SECRET", "hunter2")
    text = MINIMAL.replace("trial", "oc")
    in_file = f"backbone: {{weights: {json.dumps(value)}}}" if place == "file" else ""
    overrides = [f"backbone.weights={value}"] if place == "override" else []
    with pytest.raises(ConfigError, match="looks something up outside the file") as caught:
        load(text + in_file, *overrides)
    assert "hunter2" not in str(caught.value)


def test_a_lookup_put_together_from_parts_is_refused_too(load, monkeypatch):
    monkeypatch.setenv("COAT_SECRET", "hunter2")
    parts = "backbone: {weights: '${corpus.name}{oc.env:COAT_SECRET}'}\ncorpus: {name: $}"
    with pytest.raises(ConfigError, match="looks something up outside the file") as caught:
        load(MINIMAL + parts)
    assert "hunter2" not in str(caught.value)


def test_an_override_under_a_looked_up_key_is_refused_before_it_is_looked_up(load, monkeypatch):
    monkeypatch.setenv("COAT_SECRET", "hunter2")
    with pytest.raises(ConfigError, match="looks something up outside the file") as caught:
        load(MINIMAL + "backbone: '${oc.env:COAT_SECRET}'", "backbone.weights=x")
    assert "hunter2" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"no configuration file at .*none\.yaml"):
        load_config(tmp_path / "none.yaml", RunConfig)


def test_plain_data_is_validated_like_a_file():
    with pytest.raises(ConfigError, match="request: name: Field required"):
        validate({"stages": [{"name": "one", "steps": 1}]}, RunConfig, origin="request")
