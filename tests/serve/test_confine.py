"""A configuration that comes over HTTP names things, never places."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from coat_ray.config import ConfigError, RunConfig, load_config
from serve.confine import check_confined
from tests.serve.conftest import CONFIG, World

WITH_EXPERT = {**CONFIG, "experts": {"pitch": {"model": "basic_pitch"}}}
PLACES = ["/etc", "../other", "a/../../b", "~/x", "s3://bucket/key", "corpora/speech/x", "", ".", "a\n"]


def changed(key: str, value: str) -> dict[str, Any]:
    config: dict[str, Any] = copy.deepcopy(WITH_EXPERT)
    *sections, last = key.split(".")
    place = config
    for section in sections:
        place = place.setdefault(section, {})
    place[last] = value
    return config


@pytest.mark.parametrize("key", ["corpus.name", "backbone.weights", "experts.pitch.weights"])
@pytest.mark.parametrize("value", PLACES)
def test_a_place_is_refused_by_its_key(key: str, value: str) -> None:
    with pytest.raises(ConfigError, match=key):
        check_confined(RunConfig.model_validate(changed(key, value)))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("corpus.name", "soundworld-mini"),
        ("backbone.weights", "embedded"),
        ("backbone.weights", "Qwen/Qwen2-Audio-7B-Instruct"),
        ("experts.pitch.weights", "official"),
        ("tracking.mlflow", "https://mlflow.example.org"),
    ],
)
def test_a_name_is_taken(key: str, value: str) -> None:
    check_confined(RunConfig.model_validate(changed(key, value)))


def test_metrics_go_to_no_folder() -> None:
    with pytest.raises(ConfigError, match=r"tracking\.mlflow"):
        check_confined(RunConfig.model_validate(changed("tracking.mlflow", "file:///var/other")))


def test_the_main_job_can_be_submitted() -> None:
    check_confined(load_config("jobs/configs/embedded.yaml", RunConfig))


def test_the_api_refuses_it_before_it_is_queued(world: World) -> None:
    answer = world.ask("POST", "/runs", json={"config": changed("corpus.name", "/etc")})
    assert answer.status_code == 422
    assert "corpus.name: '/etc' is no name of a corpus" in answer.json()["error"]["message"]
    assert world.ask("GET", "/runs").json() == {"data": []}
