"""vLLM behind the platform that ``coat up`` starts, as docs/vllm.md says. Runs where ``make vllm-env`` was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest
from omegaconf import OmegaConf

from benchmarks.hosted import QUESTION, about, add_adapters, noise, talkative_base
from benchmarks.own_platform import ROOT, OwnPlatform
from coat_ray.config import BackboneConfig
from coat_ray.inference.engine import Engine
from coat_ray.inference.requests import AdapterSource, Request, Sampling
from coat_ray.registry.models import ModelRegistry
from coat_ray.storage import Storage
from tests.vllm.test_vllm import PYTHON, needs_vllm

pytestmark = [needs_vllm, pytest.mark.slow]

TEAM, ADAPTERS, TOKENS, CLIPS = "team", {"one": 1, "two": 2}, 16, (0, 1)
MODELS = ("base", *(f"base:{TEAM}/{name}@1" for name in ADAPTERS))


@dataclass(frozen=True)
class Hosted:
    """The platform's client, and what it hosts."""

    client: openai.OpenAI
    base: BackboneConfig
    storage: Storage

    def ask(self, model: str, clip: int, **more: Any) -> Any:
        messages: Any = about(noise(clip, 1.0))
        return self.client.chat.completions.create(model=model, messages=messages, max_tokens=TOKENS, **more)


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosted]:
    folder = tmp_path_factory.mktemp("hosted")
    base = talkative_base(folder / "talkative")
    platform = OwnPlatform(folder / "home", 6, config=_config(folder, base))
    try:
        platform.up()
        platform.team(TEAM)
        storage = Storage(platform.home)
        add_adapters(storage, TEAM, ADAPTERS, base, rank=4)
        key = platform.keys[TEAM]
        yield Hosted(openai.OpenAI(base_url=f"{platform.url}/v1", api_key=key, timeout=300), base, storage)
    finally:
        with suppress(RuntimeError):  # it never was up
            platform.coat("down")


def _config(folder: Path, base: BackboneConfig) -> Path:
    """The shipped configuration with the lines of docs/vllm.md, without the page."""
    config = OmegaConf.load(ROOT / "serve" / "config.yaml")
    config.applications = [app for app in config.applications if app.name != "page"]
    [models] = [app for app in config.applications if app.name == "models"]
    limits = {"adapters": 2, "lora_rank": 8}
    models.args = {"backbone": base.model_dump(), "engine": "vllm", "vllm_limits": limits}
    [engine] = [one for one in models.deployments if one.name == "engine"]
    environment = {"VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    engine.ray_actor_options = {"num_cpus": 0, "runtime_env": {"py_executable": str(PYTHON), "env_vars": environment}}
    file = folder / "serve.yaml"
    OmegaConf.save(config, file)
    return file


def test_every_model_answers_as_the_transformers_engine_whole_and_as_a_stream(hosted: Hosted) -> None:
    registry = ModelRegistry(hosted.storage.tenant(TEAM))
    records = [registry.resolve(name) for name in ADAPTERS]
    sources = (None, *(AdapterSource.of(record, registry.adapter_folder(record)) for record in records))
    expected = []
    with Engine.open(hosted.base) as engine:
        for source in sources:
            for clip in CLIPS:
                messages = [{"role": "user", "content": f"<audio>\n{QUESTION}"}]
                asked = Request(messages, [noise(clip, 1.0)], source, sampling=Sampling(max_tokens=TOKENS))
                expected.append(engine.submit(asked).result(60).text)
    asked_models = [(model, clip) for model in MODELS for clip in CLIPS]
    assert [hosted.ask(*which).choices[0].message.content for which in asked_models] == expected
    streams = [hosted.ask(*which, stream=True) for which in asked_models]
    assert ["".join(chunk.choices[0].delta.content or "" for chunk in stream) for stream in streams] == expected
    assert len(set(expected)) == len(expected)


def test_the_inside_of_a_block_is_refused_with_a_sentence(hosted: Hosted) -> None:
    with pytest.raises(openai.BadRequestError, match="does not hand out the states of the block"):
        hosted.ask(MODELS[1], 0, extra_body={"coat": {"thinking": True}})
