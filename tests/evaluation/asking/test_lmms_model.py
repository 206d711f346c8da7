"""Our model as lmms-eval sees it. lmms-eval itself is no dependency: its base class is stood in for by four lines.

The real one was run by hand; docs/analysis.md says how.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from coat_ray.evaluation.asking.answers import EvaluationError
from coat_ray.inference.errors import RequestRefused
from coat_ray.model.backbones import load_backbone
from coat_ray.model.generate import Generator
from coat_ray.registry.licences import Ingredient
from coat_ray.registry.models import ModelRegistry
from coat_ray.storage import Storage
from tests.inference.made import CONFIG, clip, make_model

QUESTION = "what sound is heard?"


class Lmms:
    def __init__(self) -> None:
        self.task_dict: dict[str, Any] = {}


@pytest.fixture
def plugin(monkeypatch):
    """The module, as lmms-eval would import it."""
    for name in ("lmms_eval", "lmms_eval.api", "lmms_eval.api.model"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules["lmms_eval.api.model"].lmms = Lmms
    monkeypatch.delitem(sys.modules, "coat_ray.evaluation.asking.lmms_model", raising=False)
    yield importlib.import_module("coat_ray.evaluation.asking.lmms_model")
    sys.modules.pop("coat_ray.evaluation.asking.lmms_model", None)


@pytest.fixture
def requests():
    """Three documents of one task, their clips at two rates, as ``datasets`` gives them."""
    clips = [{"array": clip(seed).astype(np.float64), "sampling_rate": 16_000} for seed in (0, 1)]
    clips.append({"array": np.repeat(clip(2), 2), "sampling_rate": 32_000})
    task = {"t": {"test": [{"audio": each} for each in clips]}}
    generation = {"max_new_tokens": 5, "temperature": 0, "top_p": None, "until": ["\n\n"]}
    args = [(QUESTION, generation, lambda doc: [doc["audio"]], i, "t", "test") for i in range(3)]
    return task, [SimpleNamespace(args=each) for each in args]


def test_the_answers_are_those_of_the_evaluations_own_generator(plugin, requests):
    task, asked = requests
    model = plugin.Coat(pretrained="base", batch_size="2")
    model.task_dict = task
    generator = Generator(load_backbone(CONFIG), block=False)
    conversation = [{"role": "user", "content": f"<audio>\n{QUESTION}"}]
    expected = [generator.generate([conversation], [[clip(seed)]], 5).texts[0] for seed in (0, 1)]
    assert model.generate_until(asked)[:2] == expected
    assert len(model.generate_until(asked)) == 3


def test_a_registered_model_answers_with_its_block(plugin, requests, coat_home, tmp_path):
    task, asked = requests
    made = make_model(load_backbone(CONFIG), 4, seed=0)
    made.save_adapter(tmp_path / "a")
    terms = [Ingredient("base", "embedded", "Apache-2.0", commercial_use=True)]
    ModelRegistry(Storage.default()).add("toy", tmp_path / "a", base=CONFIG.model_dump(), ingredients=terms)
    answers = {}
    for mode in ("block", "plain"):
        model = plugin.Coat(pretrained="toy", mode=mode)
        model.task_dict = task
        answers[mode] = model.generate_until(asked[:2])
    conversation = [{"role": "user", "content": f"<audio>\n{QUESTION}"}]
    for mode, block in (("block", True), ("plain", False)):
        generator = Generator(made.backbone, block=block)
        expected = [generator.generate([conversation], [[clip(seed)]], 5).texts[0] for seed in (0, 1)]
        assert answers[mode] == expected


@pytest.mark.parametrize(
    ("audio", "error"),
    [("path/to.wav", EvaluationError), ({"array": np.zeros(0), "sampling_rate": 16_000}, RequestRefused)],
)
def test_a_clip_that_cannot_reach_the_model_ends_the_run(plugin, requests, audio, error):
    task, asked = requests
    task["t"]["test"][0]["audio"] = audio
    model = plugin.Coat(pretrained="base")
    model.task_dict = task
    with pytest.raises(error):
        model.generate_until(asked[:1])


def test_two_channels_become_one_whichever_way_they_lie(plugin):
    mono = clip(0)
    for array in (np.stack([mono, mono]), np.stack([mono, mono], axis=1)):
        np.testing.assert_allclose(plugin._signal({"array": array, "sampling_rate": 16_000}, 16_000), mono, atol=1e-6)
