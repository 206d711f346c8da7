"""A configuration that comes over HTTP names things, never places."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from coat_ray.config import ConfigError, RunConfig, load_config, validate
from serve.confine import check_confined, check_plain
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
    ],
)
def test_a_name_is_taken(key: str, value: str) -> None:
    check_confined(RunConfig.model_validate(changed(key, value)))


SERVERS = " https://mlflow.example.org http://tracking:5000/team/"


@pytest.mark.parametrize(
    "uri", ["https://mlflow.example.org", "https://mlflow.example.org/x", "http://tracking:5000/team"]
)
def test_metrics_go_to_servers_that_the_platform_knows(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setenv("COAT_MLFLOW_SERVERS", SERVERS)
    check_confined(RunConfig.model_validate(changed("tracking.mlflow", uri)))


@pytest.mark.parametrize(
    "uri",
    [
        "file:///var/other",
        "http://169.254.169.254/latest",
        "https://mlflow.example.org.evil.example",
        "https://mlflow.example.org:444",
        "http://mlflow.example.org",
        "http://tracking:5000/",
        "http://tracking:5000/team/../other",
        "http://tracking:5000/teams",
    ],
)
@pytest.mark.parametrize("servers", [SERVERS, ""])
def test_metrics_go_nowhere_else(monkeypatch: pytest.MonkeyPatch, uri: str, servers: str) -> None:
    monkeypatch.setenv("COAT_MLFLOW_SERVERS", servers)
    with pytest.raises(ConfigError, match=r"tracking\.mlflow: .* is no server that this platform sends metrics to"):
        check_confined(RunConfig.model_validate(changed("tracking.mlflow", uri)))


PARTS = [
    {"experts": {"pitch": {"model": "${${name}.env:COAT_SECRET}"}}},
    {"experts": {"${name}": {"model": "basic_pitch"}}},
    {"seed": "${oc.env:COAT_SECRET}"},
    {"arms": ["coat", "${name}"]},
]


@pytest.mark.parametrize("path", ["/runs", "/leases"])
@pytest.mark.parametrize("part", PARTS)
def test_no_reference_comes_over_http(world: World, path: str, part: dict[str, Any]) -> None:
    answer = world.ask("POST", path, json={"config": {**CONFIG, **part}})
    assert answer.status_code == 422
    assert "send the value itself, without '${'" in answer.json()["error"]["message"]
    assert world.ask("GET", "/runs").json()["data"] == []


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({"a": [float("nan")]}, "no number that JSON has"),
        ({"\ud800": 1}, "cannot be stored"),
        (["\0"], "cannot be stored"),
        (json.loads("[" * 200 + "]" * 200), "more than 32 levels"),
    ],
)
def test_what_cannot_be_kept_is_refused(value: Any, why: str) -> None:
    with pytest.raises(ConfigError, match=f"result: .*{why}"):
        check_plain(value, "result")


@pytest.mark.parametrize("text", ["$x", "{x}", "$ {name}", "\\$", "a: b # c", "!!python/object:x", "???", "ä ∑"])
def test_the_job_reads_what_was_sent(tmp_path: Path, text: str) -> None:
    sent = changed("experts.pitch.model", text)
    check_plain(sent, "config")
    config = validate(sent, RunConfig, origin="config")
    (tmp_path / "run.yaml").write_text(json.dumps(config.model_dump(mode="json"), indent=2))
    assert load_config(tmp_path / "run.yaml", RunConfig) == config


def test_the_main_job_can_be_submitted() -> None:
    check_confined(load_config("jobs/configs/embedded.yaml", RunConfig))


def test_the_api_refuses_it_before_it_is_queued(world: World) -> None:
    answer = world.ask("POST", "/runs", json={"config": changed("corpus.name", "/etc")})
    assert answer.status_code == 422
    assert "corpus.name: '/etc' is no name of a corpus" in answer.json()["error"]["message"]
    assert world.ask("GET", "/runs").json()["data"] == []
