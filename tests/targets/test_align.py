"""Alignment is by time: what an expert says about a moment lands at that moment of the block."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from coat_ray.targets.align import BLOCK_RATE, align, block_centers, block_length, frame_centers

RATES = st.sampled_from([3.125, 12.5, 25.0, 50.0, 86.58, 100.0]) | st.floats(1.0, 200.0)
OFFSETS = st.floats(0.0, 0.3)
LENGTHS = st.integers(0, 120)
FRAMES = st.integers(1, 200).flatmap(
    lambda count: arrays(np.float32, (count, 3), elements=st.floats(-100, 100, width=32))
)


@pytest.mark.parametrize(
    ("num_samples", "length"),
    [(16_000, 25), (160_000, 250), (480_000, 750), (321, 1), (320, 0), (1, 0), (0, 0), (480, 1), (961, 2)],
)
def test_block_length_is_that_of_the_audio_tower(num_samples, length):
    assert block_length(num_samples) == length


@given(st.integers(0, 480_000))
def test_block_length_follows_the_tower_convolution_and_pooling(num_samples):
    """Conv1d(kernel 3, stride 2, padding 1) then AvgPool1d(2, stride 2) over the mel frames."""
    mel_frames = -(-num_samples // 160)
    convolved = (mel_frames + 2 * 1 - 3) // 2 + 1 if mel_frames else 0
    assert block_length(num_samples) == max(0, (convolved - 2) // 2 + 1)


def test_block_centers_are_forty_milliseconds_apart_from_ten():
    np.testing.assert_allclose(block_centers(3), [0.010, 0.050, 0.090])


@given(FRAMES, RATES, OFFSETS, LENGTHS)
def test_every_value_lies_between_the_frames_it_came_from(frames, rate, offset, length):
    aligned = align(frames, rate, offset, length)
    assert aligned.shape == (length, 3)
    assert aligned.dtype == np.float32
    slack = 1e-4 * (1 + np.abs(frames).max())
    assert (aligned >= frames.min(axis=0) - slack).all()
    assert (aligned <= frames.max(axis=0) + slack).all()


@given(st.integers(2, 300), RATES, OFFSETS, st.integers(1, 120))
def test_a_ramp_in_time_stays_the_same_ramp(count, rate, offset, length):
    """Within the expert's span a frame that states its own time is read at the block's time, up to its resolution."""
    centers = frame_centers(count, rate, offset)
    aligned = align(centers[:, None].astype(np.float32), rate, offset, length)[:, 0]
    times = block_centers(length)
    inside = (times >= centers[0] + 0.5 / BLOCK_RATE) & (times <= centers[-1] - 0.5 / BLOCK_RATE)
    tolerance = 0.5 / rate if rate > BLOCK_RATE else 0.0
    assert (np.abs(aligned - times)[inside] <= tolerance + 1e-4).all()


@given(FRAMES, RATES, OFFSETS, LENGTHS)
def test_beyond_its_ends_the_expert_holds_its_last_word(frames, rate, offset, length):
    aligned = align(frames, rate, offset, length)
    centers, times = frame_centers(len(frames), rate, offset), block_centers(length)
    half = 0.5 / BLOCK_RATE + 1e-6
    np.testing.assert_array_equal(
        aligned[times < centers[0] - half], np.tile(frames[0], (sum(times < centers[0] - half), 1))
    )
    after = times > centers[-1] + half
    np.testing.assert_array_equal(aligned[after], np.tile(frames[-1], (sum(after), 1)))


def test_a_faster_expert_is_averaged_over_the_bin():
    frames = np.arange(100, dtype=np.float32)[:, None]  # 100 Hz, centres 0, 10, 20, ... ms
    aligned = align(frames, 100.0, 0.0, 3)
    np.testing.assert_allclose(aligned[:, 0], [1.0, 4.5, 8.5])  # bins [-10, 30), [30, 70), [70, 110) ms


def test_a_50_hz_expert_gives_each_position_two_frames():
    frames = np.arange(50, dtype=np.float32)[:, None]  # SpidR: centres 12.5, 32.5, 52.5, ... ms
    np.testing.assert_allclose(align(frames, 50.0, 0.0125, 4)[:, 0], [0.0, 1.5, 3.5, 5.5])


def test_a_slower_expert_is_interpolated_between_its_centres():
    frames = np.array([[0.0], [1.0]], dtype=np.float32)  # PANNs: centres 155 and 475 ms
    aligned = align(frames, 3.125, 0.155, 14)[:, 0]
    np.testing.assert_allclose(aligned[:4], 0.0)
    np.testing.assert_allclose(aligned[4:12], (block_centers(12)[4:] - 0.155) / 0.32, rtol=1e-5)
    np.testing.assert_allclose(aligned[12:], 1.0)


@pytest.mark.parametrize("frames", [np.zeros((0, 3)), np.zeros(5)])
def test_no_frames_is_an_error_in_words(frames):
    with pytest.raises(ValueError, match="at least one frame"):
        align(frames, 50.0, 0.0, 10)


def test_a_rate_of_nothing_is_an_error():
    with pytest.raises(ValueError, match="rate must be positive"):
        align(np.zeros((1, 1)), 0.0, 0.0, 10)
