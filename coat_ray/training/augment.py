"""What is done to a clip on its way into training: gain, white noise, SpecAugment (Park et al. 2019) on its log-mel.

Nothing changes a clip's length, so block and targets stay where they are. Experts' targets are those of the clean clip.

Shapes: n samples, M mel bins, F mel frames.
"""

from __future__ import annotations

import hashlib

import numpy as np

from coat_ray.config import AugmentConfig


def generator(seed: int, step: int, row_id: str, clip_index: int) -> np.random.Generator:
    """The draws of one clip of one row in one step, whichever worker makes them and in whatever order."""
    name = hashlib.sha256(f"{seed} {step} {clip_index} {row_id}".encode()).digest()
    return np.random.default_rng(int.from_bytes(name))


def augment_signal(signal: np.ndarray, rng: np.random.Generator, settings: AugmentConfig) -> np.ndarray:
    """Random gain, then perhaps white noise.

    The gain is uniform in ±gain_db. The ratio between the clip's mean power and that of the noise is uniform in
    snr_db; it is met exactly, not in the mean. A clip of zeros has no such ratio and gets no noise. Nothing is clipped.

    Args:
        signal: mono samples (n,); never changed in place.
        rng: see ``generator``.
        settings: what is drawn from.

    Returns:
        float32 (n,); *signal* itself where the draws leave it as it is.
    """
    if settings.gain_db:
        signal = _scaled(signal, rng.uniform(-settings.gain_db, settings.gain_db))
    if settings.noise_probability and rng.random() < settings.noise_probability:
        signal = _with_noise(signal, rng.uniform(*settings.snr_db), rng)
    return signal


def augment_features(
    features_MF: np.ndarray, frames: int, rng: np.random.Generator, settings: AugmentConfig
) -> np.ndarray:
    """Time and frequency masks on a log-mel, filled with the clip's mean (SpecAugment without time warping).

    A mask's width is uniform between 0 and its longest, its place uniform among those where it lies inside the clip; a
    time mask may be as long as the clip (p = 1 there). What lies behind the clip's frames is neither read nor changed.

    Args:
        features_MF: log-mel, perhaps padded behind the clip; never changed in place.
        frames: valid mel frames.
        rng: see ``generator``.
        settings: number and longest width of the masks.

    Returns:
        float32 (M, F); *features_MF* itself where no mask is asked for.
    """
    if not (settings.time_masks or settings.frequency_masks):
        return features_MF
    masked_MF = features_MF.astype(np.float32)
    clip_MF = masked_MF[:, :frames]
    mean = clip_MF.mean(dtype=np.float64) if clip_MF.size else 0.0
    for _ in range(settings.time_masks):
        clip_MF[:, _mask(clip_MF.shape[1], settings.time_mask_frames, rng)] = mean
    for _ in range(settings.frequency_masks):
        clip_MF[_mask(clip_MF.shape[0], settings.frequency_mask_bins, rng)] = mean
    return masked_MF


def _scaled(signal: np.ndarray, decibels: float) -> np.ndarray:
    return signal.astype(np.float32) * np.float32(10 ** (decibels / 20))


def _with_noise(signal: np.ndarray, snr_db: float, rng: np.random.Generator) -> np.ndarray:
    noise = rng.standard_normal(len(signal))
    scale = np.sqrt(_power(signal) / 10 ** (snr_db / 10) / _power(noise)) if signal.any() else 0.0
    return (signal + scale * noise).astype(np.float32) if scale else signal


def _power(signal: np.ndarray) -> float:
    return float(np.square(signal, dtype=np.float64).mean())


def _mask(length: int, longest: int, rng: np.random.Generator) -> slice:
    width = rng.integers(0, min(longest, length), endpoint=True)
    start = rng.integers(0, length - width, endpoint=True)
    return slice(start, start + width)
