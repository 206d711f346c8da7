"""The engine on a GPU: the answers of the CPU, many adapters in one batch, and what stands in a block."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from coat_ray.inference.engine import Engine
from coat_ray.inference.requests import AdapterSource, Request
from coat_ray.model.backbones import load_backbone
from coat_ray.model.coat import CoatModel
from coat_ray.model.devices import usable_device
from tests.inference.made import CONFIG, ask, make_model, save
from tests.model.conftest import make_specs

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

CPU = torch.device("cpu")
RANKS = (2, 4, 8)
TOKENS = 16


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[AdapterSource]:
    """Adapters of different rank; the first has heads."""
    folder: Path = tmp_path_factory.mktemp("adapters")
    base = load_backbone(CONFIG)
    made: list[CoatModel] = [
        make_model(base, rank, seed, specs=make_specs() if seed == 0 else None) for seed, rank in enumerate(RANKS)
    ]
    return [save(model, folder, f"a{i}") for i, model in enumerate(made)]


def _questions(sources: list[AdapterSource]) -> list[Request]:
    plain = [ask(source, about, max_tokens=TOKENS, ignore_end=True) for about in (0, 1) for source in (None, *sources)]
    drawn = ask(sources[1], 2, max_tokens=TOKENS, ignore_end=True, temperature=1.0, seed=7)
    inside = ask(sources[0], 2, max_tokens=TOKENS, ignore_end=True, thinking_columns=20)
    return [*plain, drawn, inside]


def test_answers_are_those_of_the_cpu(sources: list[AdapterSource]) -> None:
    found = []
    for device in (CPU, usable_device()):
        with Engine.open(CONFIG, device=device) as engine:
            found.append([engine.submit(asked).result() for asked in _questions(sources)])
    on_cpu, on_gpu = found
    assert [result.text for result in on_gpu] == [result.text for result in on_cpu]
    seen, expected = on_gpu[-1].thinking, on_cpu[-1].thinking
    assert expected
    assert {role: view["summary"] for role, view in seen.items()} == {r: v["summary"] for r, v in expected.items()}


def test_adapters_mixed_in_one_batch_answer_as_alone(sources: list[AdapterSource]) -> None:
    asked = [ask(source, about, max_tokens=TOKENS, ignore_end=True) for about in (0, 1) for source in (None, *sources)]
    with Engine.open(CONFIG, device=usable_device()) as engine:
        alone = [engine.submit(request).result().text for request in asked]
        together = [handle.result().text for handle in [engine.submit(request) for request in asked]]
    assert together == alone
    assert len(set(alone)) > 2


def test_bfloat16_answers_too(sources: list[AdapterSource]) -> None:
    half = CONFIG.model_copy(update={"dtype": "bfloat16"})
    asked = [ask(source, 1, max_tokens=TOKENS, ignore_end=True) for source in (None, *sources)]
    with Engine.open(half) as engine:
        texts = [engine.submit(request).result().text for request in asked]
    assert all(texts)
