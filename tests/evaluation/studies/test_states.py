"""The states that probes read are those of the model's own forward pass, whatever the batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from coat_ray.evaluation.studies.states import BEFORE, THINK, StateReader
from coat_ray.model.backbones import load_backbone
from coat_ray.model.generate import Generator
from coat_ray.model.opening import OpenModel
from tests.inference.made import CONFIG, clip, make_model

QUESTION = "which instrument plays?"
SIGNALS = [clip(seed) for seed in (2, 0, 1, 4)]


@pytest.fixture(scope="module")
def coat() -> OpenModel:
    model = make_model(load_backbone(CONFIG), 4, seed=0)
    return OpenModel("coat", model.backbone, model)


def test_think_is_the_mean_over_the_block_that_generation_computes(coat):
    states = StateReader(coat, batch_rows=3).states(QUESTION, SIGNALS)
    for state, signal in zip(states[THINK], SIGNALS, strict=True):
        asked = [{"role": "user", "content": f"<audio>\n{QUESTION}"}]
        answers = Generator(coat.backbone, block=True).generate([asked], [[signal]], 1)
        np.testing.assert_allclose(state, answers.h_think.mean(0), atol=1e-4)


def test_the_first_token_comes_from_the_state_before_it(coat):
    before = StateReader(coat).states(QUESTION, SIGNALS)[BEFORE]
    tokens = coat.backbone.lm_head(torch.from_numpy(before)).argmax(-1)
    asked = [{"role": "user", "content": f"<audio>\n{QUESTION}"}]
    first: list[int] = []
    for signal in SIGNALS:
        Generator(coat.backbone, block=True).generate([asked], [[signal]], 1, lambda row: first.append(row[0]))
    assert tokens.tolist() == first


def test_a_model_without_a_block_has_no_think_state(coat):
    states = StateReader(OpenModel("base", load_backbone(CONFIG))).states(QUESTION, SIGNALS)
    assert set(states) == {BEFORE}
    assert states[BEFORE].shape == (4, 128)


def test_clips_keep_their_order(coat):
    one = StateReader(coat, batch_rows=1).states(QUESTION, SIGNALS)[BEFORE]
    many = StateReader(coat, batch_rows=4).states(QUESTION, SIGNALS)[BEFORE]
    np.testing.assert_allclose(one, many, atol=1e-4)
