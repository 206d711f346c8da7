"""The embedded base, eight adapters of different rank on it, and engines that stop with their test."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
import torch

from coat_ray.inference.engine import Engine
from coat_ray.inference.limits import EngineLimits
from coat_ray.inference.requests import AdapterSource
from coat_ray.model.backbones import load_backbone
from coat_ray.model.backbones.base import Backbone
from coat_ray.model.coat import CoatModel
from coat_ray.model.generate import Generator
from tests.inference.made import CONFIG, QUESTION, clip, make_model, save
from tests.model.conftest import make_specs

RANKS = (1, 2, 3, 4, 5, 6, 8, 12)
MAX_TOKENS = 12


@dataclass
class Shelf:
    """Adapters on disk and, with PEFT's own layers and one at a time, the models that they are."""

    base: Backbone
    models: list[CoatModel]
    sources: list[AdapterSource]
    _answers: dict[tuple[int | None, int, bool], list[int]] = field(default_factory=dict)

    def alone(self, index: int | None, seed: int, *, block: bool = True) -> list[int]:
        """Greedy answer tokens of one adapter (None: the base) about one clip, from the evaluation's generator."""
        key = (index, seed, block)
        if key not in self._answers:
            backbone = self.base if index is None else self.models[index].backbone
            generator = Generator(backbone, block=block and index is not None)
            steps: list[int] = []
            question = [{"role": "user", "content": QUESTION}]
            answers = generator.generate([question], [[clip(seed)]], MAX_TOKENS, lambda row: steps.append(row[0]))
            self._answers[key] = steps[: answers.timings.tokens]
        return self._answers[key]


@pytest.fixture(scope="session")
def base() -> Backbone:
    """The embedded base, made to talk on, without any adapter; not to be changed."""
    base = load_backbone(CONFIG).eval()
    with torch.no_grad():  # what random adapters say would end at once
        base.lm_head.weight[base.front.end_of_turn_id] = 0
    return base


@pytest.fixture(scope="session")
def shelf(base: Backbone, tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """Adapter i has rank RANKS[i]; the first one has heads."""
    folder = tmp_path_factory.mktemp("adapters")
    models = [
        make_model(base, rank, seed, specs=make_specs() if seed == 0 else None) for seed, rank in enumerate(RANKS)
    ]
    return Shelf(base, models, [save(model, folder, f"a{i}") for i, model in enumerate(models)])


@pytest.fixture
def open_engine(base: Backbone) -> Iterator[Callable[..., Engine]]:
    """Open an engine with limits given by name."""
    engines: list[Engine] = []

    def opened(**limits: int) -> Engine:
        engines.append(Engine(copy.deepcopy(base), CONFIG, EngineLimits(**limits)))
        return engines[-1]

    yield opened
    for engine in engines:
        engine.stop()


@pytest.fixture
def engine(open_engine: Callable[..., Engine]) -> Engine:
    """With the usual limits."""
    return open_engine()
