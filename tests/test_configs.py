"""Every YAML file that ships is a configuration that works."""

from pathlib import Path

import pytest

from coat_ray.config import ConfigError, RunConfig, load_config

ROOT = Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "jobs" / "configs").glob("*.yaml"))


def test_there_are_shipped_configurations():
    assert "embedded.yaml" in [path.name for path in CONFIGS]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_shipped_configuration_loads_and_is_named_after_its_file(path):
    assert load_config(path, RunConfig).name == path.stem


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_expert_of_a_shipped_configuration_is_known_and_used(path):
    from coat_ray.experts.registry import EXPERTS

    config = load_config(path, RunConfig)
    assert {expert.model for expert in config.experts.values()} <= set(EXPERTS)
    assert {role for stage in config.stages for role in stage.active} >= set(config.experts)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_misspelled_key_in_a_shipped_configuration_names_its_neighbour(path):
    with pytest.raises(ConfigError, match="unknown key 'traning'; did you mean 'training'"):
        load_config(path, RunConfig, ["traning.log_every=1"])


def test_the_embedded_arms_share_everything_but_the_block():
    config = load_config(ROOT / "jobs" / "configs" / "embedded.yaml", RunConfig)
    assert set(config.arms) == {"sft", "coat"}
    assert config.backbone.weights == "embedded"
    assert config.stages[0].active == ("recon",)
    assert len(config.stages[1].active) == 5


@pytest.mark.parametrize("name", ["qwen2_audio_7b", "qwen2_5_omni_7b", "audio_flamingo_3"])
def test_a_full_size_run_has_the_papers_values_and_a_base_of_known_licence(name):
    from coat_ray.model.backbones import FAMILIES
    from coat_ray.training.lineage import BASES

    config = load_config(ROOT / "jobs" / "configs" / f"{name}.yaml", RunConfig)
    assert config.backbone.family in FAMILIES
    assert config.backbone.weights in BASES
    assert (config.lora.rank, config.lora.alpha) == (16, 32)
    assert [(stage.steps, len(stage.active)) for stage in config.stages] == [(100_000, 1), (100_000, 5)]
    assert config.training.batch_rows == 16
    assert (config.resources.train_workers, config.resources.gpus_per_worker) == (4, 1)
    assert {expert.weights for expert in config.experts.values()} == {"official"}
