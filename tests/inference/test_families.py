"""Every backbone family goes through the same engine; the official ones as small random models."""

import copy

import pytest
import torch

from coat_ray.config import BackboneConfig
from coat_ray.inference.engine import Engine
from coat_ray.model.backbones import load_backbone
from coat_ray.model.generate import Generator
from tests.inference.made import QUESTION, ask, clip, make_model, save
from tests.model.families import TINY


@pytest.mark.parametrize("family", TINY)
def test_an_adapter_and_the_base_answer_side_by_side_as_they_do_alone(family, tmp_path):
    TINY[family](tmp_path / "base")
    config = BackboneConfig(family=family, weights=str(tmp_path / "base"))
    base = load_backbone(config).eval()
    with torch.no_grad():
        base.lm_head.weight[base.front.end_of_turn_id] = 0
    models = [make_model(base, rank, seed=rank) for rank in (2, 5)]
    sources = [save(model, tmp_path, f"a{i}") for i, model in enumerate(models)]
    asked = [(models[0].backbone, sources[0], 0), (base, None, 1), (models[1].backbone, sources[1], 2)]
    alone = []
    for backbone, source, about in asked:
        steps: list[list[int]] = []
        question = [{"role": "user", "content": QUESTION}]
        generator = Generator(backbone, block=source is not None)
        generator.generate([question], [[clip(about)]], 6, steps.append)
        alone.append([step[0] for step in steps])
    with Engine(copy.deepcopy(base), config) as engine:
        handles = [engine.submit(ask(source, about, max_tokens=6)) for _, source, about in asked]
        assert [list(handle.result(120).tokens) for handle in handles] == alone
