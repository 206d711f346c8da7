"""``coat.teachers``: what the experts themselves hear, beside what the block holds."""

from __future__ import annotations

import dataclasses
import json

import pytest

from coat_ray.config import BackboneConfig, ExpertConfig, ProjectorConfig
from coat_ray.experts.registry import load_expert
from coat_ray.model.backbones import load_backbone
from coat_ray.model.projectors import make_projector
from coat_ray.registry.models import ModelRegistry
from tests.inference.made import make_model
from tests.serve.openai_api.conftest import NOTE, SPEECH, about, heard

MODEL = "base:speech/taught@1"


@pytest.fixture(scope="module")
def _taught(live, tmp_path_factory):
    """A model of the embedded experts, and of one that this machine does not have."""
    experts = {role: load_expert(ExpertConfig(model=name)) for role, name in (("sed", "panns"), ("speech", "spidr"))}
    specs = {role: (expert.spec, expert.head) for role, expert in experts.items()}
    specs["paralinguistic"] = (dataclasses.replace(experts["speech"].spec, name="of another group"), None)
    base = load_backbone(BackboneConfig()).eval()
    model = make_model(base, 2, 0, specs=specs)
    hidden = base.hidden_size
    model.heads["recon"] = make_projector(hidden, hidden, ProjectorConfig())
    model.teacher_specs["recon"], model.widths["recon"], model.losses["recon"] = None, hidden, "mse"
    folder = tmp_path_factory.mktemp("taught")
    model.save_adapter(folder)
    registry = ModelRegistry(live.serving.platform.storage.tenant("speech"))
    registry.add("taught", folder, base=BackboneConfig().model_dump(), ingredients=[NOTE])


def asked(**coat):
    return {"model": MODEL, "messages": about(heard()), "max_tokens": 2, "coat": coat}


@pytest.mark.usefixtures("_taught")
def test_teachers_stand_beside_the_block_in_the_same_shape(live):
    answer = live.post(asked(teachers=True, thinking=12)).json()["coat"]
    thinking, teachers = answer["thinking"], answer["teachers"]
    assert set(teachers) == {"sed", "speech", "recon"}
    assert set(thinking) == {*teachers, "paralinguistic"}
    for role, view in teachers.items():
        assert view["time"] == thinking[role]["time"]
        assert view["agreement"]["measure"]
    assert teachers["recon"]["unit"] == thinking["recon"]["unit"] == "dB"
    assert len(teachers["recon"]["values"][0]) == len(thinking["recon"]["frequency"])
    assert teachers["sed"]["class"] == thinking["sed"]["class"]
    assert len(teachers["speech"]["similarity"]) == teachers["speech"]["time"]["columns"] <= 12


@pytest.mark.usefixtures("_taught")
def test_a_stream_has_them_in_its_last_chunk_and_the_text_before(live):
    lines = live.post(asked(teachers=True) | {"stream": True}).text.splitlines()
    events = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    assert [bool(event.get("coat")) for event in events] == [False] * (len(events) - 1) + [True]
    assert set(events[-1]["coat"]) == {"thinking", "teachers"}


@pytest.mark.parametrize(
    ("model", "more"), [("base", {}), (SPEECH, {"mode": "plain"})], ids=["the bare base", "without a block"]
)
def test_without_a_block_there_are_no_teachers(live, model, more):
    answer = live.post(asked(teachers=True, **more) | {"model": model}).json()["coat"]
    assert answer == {"thinking": {}, "teachers": {}}


def test_teachers_hear_one_clip_at_a_time(live):
    body = asked(teachers=True) | {"model": SPEECH, "messages": about(heard(), heard())}
    assert live.post(body).json()["coat"]["teachers"] == {}
