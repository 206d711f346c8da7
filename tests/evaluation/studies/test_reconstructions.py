"""Figure 4: what the block rebuilds beside the teachers, from views that are plain data."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile

from coat_ray.config import ExpertConfig
from coat_ray.evaluation.asking.answers import EvaluationError
from coat_ray.evaluation.studies.reconstructions import draw, look_inside
from coat_ray.experts.registry import load_expert
from coat_ray.model.backbones import load_backbone
from coat_ray.targets.align import block_length
from tests.inference.made import CONFIG, make_model, save

EXPERTS = {"speech": "spidr", "sed": "panns", "paralinguistic": "emotion2vec", "pitch": "basic_pitch"}


@pytest.fixture(scope="module")
def specs():
    """The embedded teachers, as their targets would carry them."""
    loaded = {role: load_expert(ExpertConfig(model=name)) for role, name in EXPERTS.items()}
    return {role: (expert.spec, expert.head) for role, expert in loaded.items()}


@pytest.fixture(scope="module")
def clip_file(tmp_path_factory):
    """A second of A4."""
    path = tmp_path_factory.mktemp("clip") / "a4.wav"
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000), 16_000)
    return path


@pytest.fixture(scope="module")
def inside(specs, clip_file, tmp_path_factory):
    source = save(make_model(load_backbone(CONFIG), 4, seed=0, specs=specs), tmp_path_factory.mktemp("adapter"), "a")
    return look_inside(CONFIG, source, clip_file, question="which note is the highest?", columns=40)


def test_both_sides_have_the_same_lines_and_columns(inside):
    assert set(inside.student) == set(EXPERTS)
    assert set(inside.teacher) == set(EXPERTS)
    for role, view in inside.student.items():
        heard = inside.teacher[role]
        assert view["time"] == heard["time"]
        assert view["time"]["columns"] == block_length(16_000)
        axis = view["axes"][1]
        assert view[axis] == heard[axis]
        assert "value" in heard["agreement"]


def test_the_pitch_teacher_hears_the_note_that_sounds(inside):
    assert inside.teacher["pitch"]["summary"].startswith("A4 from 0.0")


def test_the_figure_has_a_row_for_each_role_and_is_a_picture(inside, tmp_path):
    roles = draw(inside.student, inside.teacher, tmp_path / "inside.png", "a title")
    assert roles == ["speech", "sed", "paralinguistic", "pitch"]
    assert (tmp_path / "inside.png").read_bytes().startswith(b"\x89PNG")


def test_views_that_came_as_json_are_drawn_too_and_a_teacher_may_be_absent(inside, tmp_path):
    student = json.loads(json.dumps(inside.to_json()))["student"]
    mel = {"expert": "log-mel", "summary": "", "unit": "dB", "axes": ["time", "frequency"]}
    mel |= {"frequency": [100.0, 1000.0], "values": [[-10.0, -60.0]] * 24, "time": student["pitch"]["time"]}
    assert draw({**student, "recon": mel, "own": student["sed"]}, {}, tmp_path / "x.png")[0] == "recon"


def test_a_block_without_heads_shows_nothing(tmp_path):
    with pytest.raises(ValueError, match="shows nothing"):
        draw({}, {}, tmp_path / "x.png")


def test_a_model_without_a_block_is_refused(clip_file, tmp_path):
    source = save(make_model(load_backbone(CONFIG), 4, seed=0, block=False), tmp_path, "a")
    with pytest.raises(EvaluationError, match="no block to look into"):
        look_inside(CONFIG, source, clip_file, question="what?", columns=40)
