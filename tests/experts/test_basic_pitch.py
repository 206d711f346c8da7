"""The pitch teacher is the published model, tapped before its contour convolution."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coat_ray.experts import basic_pitch
from coat_ray.experts.basic_pitch import OUTPUTS, TAP, BasicPitch
from coat_ray.experts.weights import WeightsError


@pytest.fixture(scope="module")
def expert() -> BasicPitch:
    return BasicPitch.load()


def tone(hertz: float, seconds: float) -> np.ndarray:
    t = np.arange(int(seconds * basic_pitch.SAMPLE_RATE)) / basic_pitch.SAMPLE_RATE
    return (0.5 * np.sin(2 * np.pi * hertz * t)).astype(np.float32)


def test_a_440_hz_tone_is_contour_bin_145_and_midi_69(expert):
    contour, note = expert.run(tone(440, 1.5), OUTPUTS["contour"], OUTPUTS["note"])
    assert contour.mean(0).argmax() == 145
    assert 21 + note.mean(0).argmax() == 69


def test_the_contour_from_our_h_is_the_models_own(expert):
    frames, contour = expert.run(tone(261.6, 1.5), TAP, OUTPUTS["contour"])
    ours = torch.sigmoid(expert.head(torch.from_numpy(frames))).numpy()
    seen_whole = slice(2, -2)  # at the ends h would reach frames that are trimmed away
    assert np.abs(ours - contour)[seen_whole].max() <= 1e-5


def test_encode_gives_the_tap(expert):
    clip = tone(330, 2.0)
    (frames,) = expert.encode([clip])
    np.testing.assert_array_equal(frames, expert.run(clip, TAP)[0])
    assert frames.shape == (basic_pitch.num_frames(len(clip)), 8 * 264)
    assert frames.dtype == np.float32


def test_a_clip_does_not_depend_on_its_batch_mates(expert):
    clips = [tone(440, 0.4), tone(220, 2.1)]
    for together, clip in zip(expert.encode(clips), clips, strict=True):
        np.testing.assert_array_equal(together, expert.encode([clip])[0])


def test_silence_gives_finite_frames(expert):
    (frames,) = expert.encode([np.zeros(basic_pitch.SAMPLE_RATE, np.float32)])
    assert np.isfinite(frames).all()


def test_a_tone_that_starts_is_heard_at_its_time(expert):
    clip = np.concatenate([np.zeros(3 * basic_pitch.SAMPLE_RATE, np.float32), tone(440, 1.0)])
    (onset,) = expert.run(clip, OUTPUTS["onset"])
    frame = onset[:, 69 - 21].argmax()
    assert basic_pitch.frame_times(len(onset))[frame] == pytest.approx(3.0, abs=0.03)


def test_even_spacing_stays_within_five_milliseconds_of_the_exact_times(expert):
    exact = basic_pitch.frame_times(5000)
    even = expert.spec.first_center + np.arange(5000) / expert.spec.rate
    assert np.abs(exact - even).max() < 0.005
    assert expert.spec.rate == pytest.approx(86.58, abs=0.01)


@given(st.integers(basic_pitch.MIN_SAMPLES, 600_000))
def test_the_windows_cover_every_frame_that_is_kept(num_samples):
    num_windows = -(-(num_samples + basic_pitch.LEAD) // basic_pitch.WINDOW_HOP)
    assert 1 <= basic_pitch.num_frames(num_samples) <= num_windows * basic_pitch.KEPT_FRAMES


def test_without_the_wheel_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(basic_pitch, "find_spec", lambda name: None)
    with pytest.raises(WeightsError, match=r"pip install --no-deps basic-pitch==0\.4\.0"):
        BasicPitch.load()


def test_the_tap_is_the_only_layer():
    with pytest.raises(ValueError, match="one tap"):
        BasicPitch.load(layer=3)
