"""Augmentation draws what it says, where it says, and depends on seed, step, row and clip alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coat_ray.config import AugmentConfig
from coat_ray.training.augment import augment_features, augment_signal, generator

BINS = 24
CLEAN = AugmentConfig()
EVERYTHING = AugmentConfig(gain_db=6, noise_probability=0.5, time_masks=2, frequency_masks=2)
seeds = st.integers(0, 2**32)
lengths = st.integers(1, 3000)


def clip(length: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(length)).astype(np.float32)


def log_mel(frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((BINS, frames)).astype(np.float32)


def decibels(power: float) -> float:
    return 10 * np.log10(power)


def power(signal: np.ndarray) -> float:
    return float(np.square(signal.astype(np.float64)).mean())


def test_without_settings_nothing_is_touched_and_nothing_is_drawn() -> None:
    signal, features, rng = clip(100), log_mel(20), generator(0, 0, "row", 0)
    assert augment_signal(signal, rng, CLEAN) is signal
    assert augment_features(features, 20, rng, CLEAN) is features
    assert rng.random() == generator(0, 0, "row", 0).random()
    assert not CLEAN.active


@given(seed=seeds, length=st.integers(10, 3000), gain_db=st.floats(0.1, 40))
def test_the_gain_is_one_factor_within_its_bounds(seed: int, length: int, gain_db: float) -> None:
    signal = clip(length, seed)
    louder = augment_signal(signal, np.random.default_rng(seed), AugmentConfig(gain_db=gain_db))
    change = decibels(power(louder) / power(signal))
    assert abs(change) <= gain_db + 1e-3
    np.testing.assert_allclose(louder, signal * 10 ** (change / 20), rtol=1e-4)


@given(seed=seeds, length=st.integers(2, 3000), low=st.floats(-10, 40), width=st.floats(0, 20))
def test_the_signal_to_noise_ratio_is_the_one_drawn(seed: int, length: int, low: float, width: float) -> None:
    signal = clip(length, seed).astype(np.float64)
    bounds = AugmentConfig(noise_probability=1, snr_db=(low, low + width))
    noisy = augment_signal(signal, np.random.default_rng(seed), bounds)
    draws = np.random.default_rng(seed)
    draws.random()
    expected = draws.uniform(low, low + width)
    assert low <= expected <= low + width
    assert decibels(power(signal) / power(noisy - signal)) == pytest.approx(expected, abs=0.1)


def test_noise_comes_as_often_as_asked() -> None:
    signal, often = clip(10), AugmentConfig(noise_probability=0.3)
    noisy = [augment_signal(signal, generator(0, step, "row", 0), often) is not signal for step in range(2000)]
    assert np.mean(noisy) == pytest.approx(0.3, abs=0.04)


@given(length=st.integers(0, 100), seed=seeds)
def test_silence_stays_silence(length: int, seed: int) -> None:
    loud = AugmentConfig(gain_db=6, noise_probability=1)
    assert not augment_signal(np.zeros(length, np.float32), np.random.default_rng(seed), loud).any()


masks = st.builds(
    AugmentConfig,
    time_masks=st.integers(0, 3),
    time_mask_frames=st.integers(1, 60),
    frequency_masks=st.integers(0, 3),
    frequency_mask_bins=st.integers(1, 60),
)


@given(seed=seeds, frames=st.integers(1, 120), padding=st.integers(0, 40), asked=masks)
def test_masks_are_rectangles_of_the_mean_inside_the_clip(
    seed: int, frames: int, padding: int, asked: AugmentConfig
) -> None:
    features = log_mel(frames + padding, seed)
    before = features.copy()
    masked = augment_features(features, frames, np.random.default_rng(seed), asked)
    np.testing.assert_array_equal(features, before)
    np.testing.assert_array_equal(masked[:, frames:], before[:, frames:])
    changed = masked[:, :frames] != before[:, :frames]
    columns, rows = changed.all(0), changed.all(1)
    np.testing.assert_array_equal(changed, columns[None] | rows[:, None])
    np.testing.assert_allclose(masked[:, :frames][changed], before[:, :frames].mean(dtype=np.float64), rtol=1e-5)
    if not rows.all():
        assert columns.sum() <= asked.time_masks * asked.time_mask_frames
    if not columns.all():
        assert rows.sum() <= asked.frequency_masks * asked.frequency_mask_bins


def test_masks_reach_every_frame_and_bin_and_their_longest_width() -> None:
    features, widths = log_mel(30), {"time": set(), "frequency": set()}
    reached = np.zeros_like(features, dtype=bool)
    for step in range(300):
        for kind, found in widths.items():
            one = AugmentConfig.model_validate({f"{kind}_masks": 1, "time_mask_frames": 5, "frequency_mask_bins": 4})
            changed = augment_features(features, 30, generator(0, step, kind, 0), one) != features
            found.add(int(changed.any(0 if kind == "time" else 1).sum()))
            reached |= changed
    assert widths == {"time": set(range(6)), "frequency": set(range(5))}
    assert reached.all()


def everything(seed: int, step: int, row: str, number: int) -> tuple[bytes, bytes]:
    rng = generator(seed, step, row, number)
    signal = augment_signal(clip(400), rng, EVERYTHING)
    return signal.tobytes(), augment_features(log_mel(50), 40, rng, EVERYTHING).tobytes()


names = st.tuples(st.integers(0, 2**40), st.integers(0, 2**40), st.text("ab 01", max_size=6), st.integers(0, 20))


@given(names)
def test_the_same_step_row_and_clip_are_augmented_the_same(name: tuple[int, int, str, int]) -> None:
    assert everything(*name) == everything(*name)


@given(names, names)
def test_another_seed_step_row_or_clip_is_augmented_anew(
    one: tuple[int, int, str, int], other: tuple[int, int, str, int]
) -> None:
    assert (everything(*one) == everything(*other)) == (one == other)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
def test_what_comes_out_is_float32(dtype: type) -> None:
    signal, features = (100 * clip(50)).astype(dtype), (100 * log_mel(20)).astype(dtype)
    sure = EVERYTHING.model_copy(update={"noise_probability": 1.0})
    assert augment_signal(signal, generator(0, 0, "row", 0), sure).dtype == np.float32
    assert augment_features(features, 20, generator(0, 0, "row", 0), sure).dtype == np.float32
