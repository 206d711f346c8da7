"""`coat experts`: facts without weights, weights by server or folder, a check, a picture."""

import hashlib
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from matplotlib import image

from coat_ray.experts import basic_pitch, check, drawing
from coat_ray.experts.base import OfficialWeights
from coat_ray.experts.panns import Panns
from coat_ray.experts.registry import EXPERTS
from tests.experts.server import serving

CONTENT = b"weights" * 300_000


@pytest.fixture
def server(monkeypatch):
    """PANNs' official weights are a small file on this machine."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(CONTENT) as running:
        sha256 = hashlib.sha256(CONTENT).hexdigest()
        official = OfficialWeights("panns.pth", running.url, "CC-BY-4.0", len(CONTENT), sha256)
        monkeypatch.setattr(Panns, "official", official)
        yield running


@pytest.fixture
def clip(tmp_path):
    time = np.arange(32_000) / 16_000
    soundfile.write(tmp_path / "clip.wav", 0.5 * np.sin(2 * np.pi * 440 * time), 16_000)
    return tmp_path / "clip.wav"


def listed(coat):
    return {row["name"]: row for row in json.loads(coat("experts", "list", "--json")[1])}


def test_official_facts_are_listed_without_any_weights(coat, coat_home, monkeypatch):
    monkeypatch.setattr(torch, "load", None)
    rows = listed(coat)
    assert list(rows) == list(EXPERTS)
    widths = {name: row["width"] for name, row in rows.items()}
    assert widths == {
        "spidr": 768, "panns": 2048, "emotion2vec": 768, "emotion2vec_plus": 1024, "basic_pitch": 2112,
        "sim_whisper": 768,
    }  # fmt: skip
    assert rows["panns"]["size"] == 327_428_481
    assert rows["panns"]["rate"] == 3.125
    assert rows["panns"]["sample_rate"] == 32_000
    assert [name for name, row in rows.items() if row["cached"]] == ["basic_pitch"]
    assert {name for name, row in rows.items() if row["commercial_use"]} == {"panns", "basic_pitch"}
    assert {name for name, row in rows.items() if row["embedded"]} == {"spidr", "panns", "emotion2vec", "basic_pitch"}
    assert not coat_home.exists()


def test_the_table_fits_what_people_ask_first(coat):
    _, out, _ = coat("experts", "list")
    assert "CC-BY-NC-4.0" in out
    assert "commercial use" in out
    assert "cached" in out


def test_pull_states_the_terms_fetches_once_and_is_listed(coat, server, coat_home):
    code, out, err = coat("experts", "pull", "panns")
    assert (code, err) == (0, "")
    assert out.index("licence: CC-BY-4.0") < out.index("sha256")
    assert "as published" in out
    assert (coat_home / "cache/experts/panns.pth").read_bytes() == CONTENT
    assert listed(coat)["panns"]["cached"]
    assert "already here" in coat("experts", "pull", "panns")[1]
    assert len(server.asked) == 1


def test_pull_replaces_a_damaged_file(coat, server, coat_home):
    path = coat_home / "cache/experts/panns.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"weights")
    code, out, _ = coat("experts", "pull", "panns")
    assert code == 0
    assert "has 7 bytes instead of 2,100,000; fetching it again" in out
    assert path.read_bytes() == CONTENT


def test_pull_resumes(coat, server, coat_home):
    server.cut = 2**20
    code, _, err = coat("experts", "pull", "panns")
    assert code == 1
    assert "run it again to resume" in err
    server.cut = None
    assert coat("experts", "pull", "panns")[0] == 0
    assert server.asked == [None, "bytes=1048576-"]


def test_pull_copies_from_a_folder(coat, server, coat_home, tmp_path):
    (tmp_path / "panns.pth").write_bytes(CONTENT)
    assert coat("experts", "pull", "panns", "--from", tmp_path)[0] == 0
    assert (coat_home / "cache/experts/panns.pth").read_bytes() == CONTENT
    assert server.asked == []


def no_space(server, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=5))


def no_file(server, monkeypatch):
    server.status = 404


def another_file(server, monkeypatch):
    server.content = CONTENT[:-1] + b"x"


@pytest.mark.parametrize(
    "trouble",
    [
        (no_space, "no space in"),
        (no_file, "there is no file at"),
        (another_file, "it is removed, run it again"),
    ],
)
def test_what_goes_wrong_is_one_sentence_and_leaves_nothing(coat, server, coat_home, monkeypatch, trouble):
    make, sentence = trouble
    make(server, monkeypatch)
    code, _, err = coat("experts", "pull", "panns")
    assert code == 1
    assert sentence in err
    assert err.count("\n") == 1
    assert list((coat_home / "cache/experts").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["pull", "basic_pitch"], "nothing to pull; it comes with its wheel"),
        (["pull", "sim_whisper"], "nothing to pull; export its encoder as a TorchScript file"),
        (["pull", "pans"], "did you mean 'panns'"),
        (["pull", "panns", "--from", "/nowhere"], "no Cnn14_DecisionLevelMax_mAP=0.385.pth in /nowhere"),
        (["check", "panns", "--weights", "official"], "coat experts pull panns"),
        (["check", "panns", "/nowhere.wav"], "no audio file at /nowhere.wav"),
        (["check", "spidr", "--layer", "99"], "layer 99 does not exist"),
        (["show", "/nowhere.wav"], "no audio file at /nowhere.wav"),
        (["show", "clip.wav", "--experts", "spider"], "did you mean 'spidr'"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(coat, arguments, sentence):
    code, _, err = coat("experts", *arguments)
    assert code == 1
    assert sentence in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", ["spidr", "panns", "emotion2vec", "basic_pitch"])
def test_check_says_what_an_expert_gives_for_the_clip_that_ships(coat, name):
    code, out, _ = coat("experts", "check", name, "--json")
    row = json.loads(out)
    assert code == 0
    assert row["finite"]
    assert row["frames"] == pytest.approx(row["seconds"] * row["rate"], abs=1.5)
    assert row["cost"] > 0
    assert row["clip"].startswith("soundworld-mini/")
    assert row.keys() >= {"width", "first_center", "fingerprint"}


def test_check_takes_a_clip(coat, clip):
    row = json.loads(coat("experts", "check", "panns", clip, "--json")[1])
    assert (row["frames"], row["width"], row["clip"]) == (6, 128, str(clip))
    assert "clip.wav" in coat("experts", "check", "panns", clip)[1]


def test_show_draws_every_expert_on_one_time_axis(coat, clip, tmp_path):
    code, out, _ = coat("experts", "show", clip, "--out", tmp_path / "picture.png")
    assert code == 0
    for panel in ("log-mel", "panns: strongest classes", "basic_pitch: pitch contour", "spidr: activations of 96"):
        assert panel in out
    height, width, _ = image.imread(tmp_path / "picture.png").shape
    assert height > width > 1000


def test_a_440_hz_tone_is_drawn_at_a4(clip):
    panels = drawing.panels_of(basic_pitch.BasicPitch.load(), check.load_clip(clip, basic_pitch.SAMPLE_RATE)[1])
    (contour,) = panels
    c4 = next(row for row, name in contour.ticks.items() if name == "C4")
    assert contour.rows.mean(1).argmax() == c4 + 3 * 9  # nine semitones of three bins
    assert contour.start == pytest.approx(0.0, abs=0.01)
    assert contour.stop == pytest.approx(2.0, abs=0.02)


def test_affect_is_drawn_as_named_probabilities(clip):
    from coat_ray.experts.emotion2vec import Emotion2vec

    _, affect = drawing.panels_of(Emotion2vec.load(), check.load_clip(clip, 16_000)[1])
    assert set(affect.ticks.values()) == {"angry", "happy", "calm", "sad"}
    assert affect.rows.sum(0) == pytest.approx(np.ones(99), abs=1e-5)


def test_without_matplotlib_the_extra_is_named(coat, clip, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    code, _, err = coat("experts", "show", clip, "--experts", "panns")
    assert code == 1
    assert "pip install 'coat-ray[draw]'" in err
