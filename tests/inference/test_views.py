"""What is shown of a block and of its teachers: the sound that it rebuilds, likeness over time, and agreement."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from coat_ray.audio import load_audio
from coat_ray.config import BackboneConfig
from coat_ray.corpus.builtin import corpus_folder
from coat_ray.corpus.manifest import read_manifest
from coat_ray.inference import agreement
from coat_ray.inference.mel_map import BANDS, FLOOR_DB, MelMap, band_centers, fit, log_mel, map_file
from coat_ray.inference.views import Readers
from coat_ray.model.generate import encode_clips
from coat_ray.storage import Storage
from tests.inference.made import ask, make_model, save
from tests.model.conftest import make_specs

CONFIG = BackboneConfig()


def tone(hertz, seconds=1.0):
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(int(16_000 * seconds)) / 16_000)).astype(np.float32)


def heard(base, signal):
    with torch.inference_mode():
        return encode_clips(base, base.front.features([base.front.heard(signal)])).float()


def held_out(count):
    manifest = read_manifest(corpus_folder("soundworld-mini", Storage.default()) / "test.jsonl")
    uris = sorted({row.audios[0] for row in manifest.rows if row.audios})[:count]
    return [load_audio(manifest.resolve(uri), 16_000) for uri in uris]


def test_a_tone_is_loudest_in_its_own_band():
    mel = log_mel(tone(1000), 25)
    assert mel.shape == (25, BANDS)
    assert -FLOOR_DB <= mel.min() < -20
    assert -1 < mel.max() <= 0
    assert abs(band_centers()[int(mel.mean(0).argmax())] - 1000) < 120


def test_the_shipped_map_finds_the_sound_of_clips_that_it_was_not_fitted_on(base):
    mel_map = MelMap.find(CONFIG)
    correlations = []
    for signal in held_out(12):
        z = heard(base, signal)
        mel = torch.from_numpy(log_mel(base.front.heard(signal), len(z)))
        correlations.append(agreement.same_mel(mel_map(z), mel)["value"])
    assert np.median(correlations) > 0.7


def test_a_map_is_the_ridge_solution_and_survives_its_file(base, tmp_path, monkeypatch):
    clips = held_out(4)
    mel_map = fit(base, clips)
    z = heard(base, clips[0])
    mel = torch.from_numpy(log_mel(base.front.heard(clips[0]), len(z)))
    assert (mel_map(z) - mel).square().mean() < (mel - mel.mean(0)).square().mean()
    monkeypatch.setenv("COAT_HOME", str(tmp_path))
    other = BackboneConfig(weights="somebody/elses-model")
    assert MelMap.find(other) is None
    mel_map.save(map_file(other))
    assert torch.allclose(MelMap.find(other)(z), mel_map(z), atol=0.5)


def test_a_block_is_read_with_the_mel_that_it_rebuilds_where_it_was_trained_to(open_engine, base, tmp_path):
    specs = make_specs()
    model = make_model(base, 2, 0, specs=specs)
    source = save(model, tmp_path, "with")
    seen = open_engine().submit(ask(source, max_tokens=1, thinking_columns=10, features=True)).result(120)
    assert set(seen.thinking) == set(seen.features) == set(specs)
    for role in ("speech", "paralinguistic"):
        likeness = torch.tensor(seen.thinking[role]["similarity"])
        assert torch.allclose(likeness, likeness.T, atol=0.02)
        assert torch.allclose(likeness.diagonal(), torch.ones(len(likeness)), atol=0.02)
    assert "similarity" not in seen.thinking["sed"]
    positions = {len(z) for z in seen.features.values()}
    assert len(positions) == 1


def test_a_student_that_equals_its_teacher_agrees_wholly_and_one_that_does_not_agrees_less(base, tmp_path):
    readers = Readers(save(make_model(base, 2, 0, specs=make_specs()), tmp_path, "one").folder)
    torch.manual_seed(0)
    teacher = {role: torch.randn(30, spec.width) for role, spec in readers.specs.items()} | {
        "recon": torch.randn(30, BANDS)
    }
    same, _ = readers.compared(teacher, teacher, 10)[::-1]
    other = {role: torch.randn_like(z) for role, z in teacher.items()}
    far = readers.compared(other, teacher, 10)[1]
    assert set(same) == set(far) == set(teacher)
    for role in same:
        full, less = same[role]["agreement"]["value"], far[role]["agreement"]["value"]
        if full is not None:
            assert full == pytest.approx(1.0, abs=1e-3)
            assert less < 0.9
    assert {view["agreement"]["measure"] for view in same.values()} == {
        agreement.SAME_CLASS, agreement.SAME_NOTE, agreement.SAME_SHAPE, agreement.SAME_MEL,
    }  # fmt: skip


def test_student_and_teacher_are_shown_in_the_same_classes(base, tmp_path):
    readers = Readers(save(make_model(base, 2, 0, specs=make_specs()), tmp_path, "one").folder)
    student, teacher = ({"pitch": 3 * torch.randn(30, 8 * 264)} for _ in range(2))
    thinking, teachers = readers.compared(student, teacher, 5)
    assert thinking["pitch"]["note"] == teachers["pitch"]["note"]
    assert thinking["pitch"]["time"] == teachers["pitch"]["time"]


def test_where_the_teacher_hears_no_note_there_is_nothing_to_agree_on():
    assert agreement.same_note(torch.rand(5, 264), torch.zeros(5, 264))["value"] is None
    assert agreement.same_mel(torch.zeros(3, 4), torch.zeros(3, 4))["value"] is None
