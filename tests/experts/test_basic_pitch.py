"""The pitch teacher is the published model, tapped before its contour convolution."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coat_ray.experts import basic_pitch
from coat_ray.experts.basic_pitch import OUTPUTS, TAP, BasicPitch
from coat_ray.experts.weights import WeightsError
from coat_ray.targets.align import align, block_centers, block_length


@pytest.fixture(scope="module")
def expert() -> BasicPitch:
    return BasicPitch.load()


def tone(hertz: float, seconds: float) -> np.ndarray:
    t = np.arange(int(seconds * basic_pitch.SAMPLE_RATE)) / basic_pitch.SAMPLE_RATE
    return (0.5 * np.sin(2 * np.pi * hertz * t)).astype(np.float32)


def melody(seconds: float) -> np.ndarray:
    return np.concatenate([tone(hertz, seconds / 4) for hertz in (220.0, 277.2, 329.6, 440.0)])


def test_a_440_hz_tone_is_contour_bin_145_and_midi_69(expert):
    contour, note = expert.run(tone(440, 1.5), OUTPUTS["contour"], OUTPUTS["note"])
    assert contour.mean(0).argmax() == 145
    assert 21 + note.mean(0).argmax() == 69


def test_the_contour_from_our_h_is_the_models_own(expert):
    frames, contour = expert.run(tone(261.6, 1.5), TAP, OUTPUTS["contour"])
    ours = torch.sigmoid(expert.head(torch.from_numpy(frames))).numpy()
    seen_whole = slice(2, -2)  # at the ends h would reach frames that are trimmed away
    assert np.abs(ours - contour)[seen_whole].max() <= 1e-5


def test_the_contour_from_our_h_is_the_models_own_inside_every_window(expert):
    """Two frames on either side of a join differ: h there sees the next window, where the model saw its own edge."""
    frames, contour = expert.run(melody(5.0), TAP, OUTPUTS["contour"])
    ours = torch.sigmoid(expert.head(torch.from_numpy(frames))).numpy()
    place = np.arange(len(frames)) % basic_pitch.KEPT_FRAMES
    inside = (place >= 2) & (place < basic_pitch.KEPT_FRAMES - 2)
    inside[-2:] = False
    error = np.abs(ours - contour)
    assert error[inside].max() <= 1e-5
    assert error[~inside].mean() < 0.01


def test_frame_times_are_upstreams_up_to_half_a_frame_and_do_not_drift(expert):
    """Upstream spreads the same correction over 172 frames where it arises every 142, so it saws around ours."""
    count = basic_pitch.num_frames(60 * basic_pitch.SAMPLE_RATE)
    hop, per_window = basic_pitch.FRAME_HOP / basic_pitch.SAMPLE_RATE, 2 * (basic_pitch.SAMPLE_RATE // 256)
    shift = hop * (per_window - basic_pitch.WINDOW / basic_pitch.FRAME_HOP) + 0.0018
    upstream = np.arange(count) * hop - shift * (np.arange(count) // per_window)
    apart = basic_pitch.frame_times(count) - upstream
    assert np.abs(apart).max() < 0.0125
    assert abs(np.polyfit(upstream, apart, 1)[0]) * 60 < 0.001


@pytest.mark.parametrize("seconds", [0.1, 1.0, 1.64, 1.641, 7.3, 60.0])
def test_frames_are_trimmed_as_upstream(seconds):
    num_samples = int(seconds * basic_pitch.SAMPLE_RATE)
    windows = num_samples / basic_pitch.WINDOW_HOP
    assert basic_pitch.num_frames(num_samples) == int(windows * (86 * 2 - 30))


@pytest.mark.slow
def test_onsets_over_a_minute_do_not_drift_on_the_blocks_grid(expert):
    rng = np.random.default_rng(0)
    starts = np.cumsum(rng.uniform(0.3, 0.5, size=145)) + 0.5
    starts = starts[starts < 59.5]
    clip = np.zeros(60 * basic_pitch.SAMPLE_RATE, np.float32)
    note = tone(440, 0.15) * np.linspace(1, 0, int(0.15 * basic_pitch.SAMPLE_RATE), dtype=np.float32)
    for start in starts:
        at = round(start * basic_pitch.SAMPLE_RATE)
        clip[at : at + len(note)] += note
    (onset,) = expert.run(clip, OUTPUTS["onset"])
    a4 = onset[:, [69 - 21]]
    on_block = align(a4, expert.spec.rate, expert.spec.first_center, block_length(60 * 16_000))[:, 0]
    for values, times in ((a4[:, 0], basic_pitch.frame_times(len(a4))), (on_block, block_centers(len(on_block)))):
        late = [_middle(values, times, start) - start for start in starts]
        slope, _ = np.polyfit(starts, late, 1)
        assert abs(slope) * 60 < 0.005
        assert np.ptp(late) < 0.04


def _middle(values: np.ndarray, times: np.ndarray, near: float) -> float:
    """Centre of gravity of what is active within 120 ms of a time."""
    close = np.abs(times - near) < 0.12
    weight = values[close] ** 2
    return float((times[close] * weight).sum() / weight.sum())


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


def test_a_file_that_is_no_model_is_refused(tmp_path):
    (tmp_path / "any.onnx").write_bytes(b"no model")
    with pytest.raises(WeightsError, match=r"any\.onnx is no ONNX model"):
        BasicPitch.load(str(tmp_path / "any.onnx"))
