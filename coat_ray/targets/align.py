"""Put an expert's frames on the grid of the thinking block, by time and not by count.

Shapes: F expert frames, L block positions (one per audio token, 25 Hz), E expert width. Times are seconds from the
start of the clip.

The paper (arXiv 2606.18273) does not say how frames are resampled. Ours: the mean over the frames of a 40 ms bin where
the expert is faster than the block, linear interpolation between frame centres where it is slower.
"""

from __future__ import annotations

import numpy as np

BLOCK_RATE = 25.0
"""Block positions per second."""

BLOCK_FIRST_CENTER = 0.010
"""Centre of position 0: the audio tower's stride-2 convolution and stride-2 pooling leave token j at 40j + 10 ms."""

_MEL_HOP = 160
_EDGE = 1e-9  # keeps a frame that lies on a bin's edge, up to rounding, in the bin that begins there


def block_length(num_samples: int) -> int:
    """L_a: audio tokens of a clip of *num_samples* at 16 kHz, the same in all three backbones (0 below 321 samples)."""
    mel_frames = -(-num_samples // _MEL_HOP)
    return max(0, ((mel_frames - 1) // 2 + 1 - 2) // 2 + 1)


def block_centers(length: int) -> np.ndarray:
    """Centres of the first *length* block positions in seconds, float64 (L,)."""
    return frame_centers(length, BLOCK_RATE, BLOCK_FIRST_CENTER)


def frame_centers(count: int, rate: float, first_center: float) -> np.ndarray:
    """Centres of *count* frames at *rate* per second, float64 (count,)."""
    return first_center + np.arange(count) / rate


def align(frames: np.ndarray, rate: float, first_center: float, length: int) -> np.ndarray:
    """Resample frames (F, E) with centres ``first_center + i / rate`` onto the block's grid, float32 (L, E).

    A position without any frame in its bin (beyond either end of the expert's frames) takes the interpolated value,
    which holds the first or last frame.

    Raises:
        ValueError: frames are not two-dimensional, there are none, or the rate is not positive.
    """
    if frames.ndim != 2 or len(frames) == 0:
        raise ValueError(f"expected at least one frame of shape (F, E), found an array of shape {frames.shape}")
    if rate <= 0:
        raise ValueError(f"the frame rate must be positive, found {rate}")
    frames = frames.astype(np.float32, copy=False)
    centers = frame_centers(len(frames), rate, first_center)
    aligned = _interpolate(frames, centers, block_centers(length))
    if rate > BLOCK_RATE:
        _fill_bin_means(aligned, frames, centers)
    return aligned


def _interpolate(frames: np.ndarray, centers: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Linear interpolation of (F, E) at *times* (L,), holding the ends."""
    position = np.interp(times, centers, np.arange(len(centers), dtype=np.float64))
    below = np.floor(position).astype(np.int64)
    above = np.minimum(below + 1, len(frames) - 1)
    share = (position - below).astype(np.float32)[:, None]
    return frames[below] * (1 - share) + frames[above] * share


def _fill_bin_means(aligned: np.ndarray, frames: np.ndarray, centers: np.ndarray) -> None:
    """Overwrite each position that has frames within half a period of its centre with their mean."""
    first_edge = BLOCK_FIRST_CENTER - 0.5 / BLOCK_RATE
    edges = first_edge + np.arange(len(aligned) + 1) / BLOCK_RATE - _EDGE
    starts = np.searchsorted(centers, edges)
    counts = np.diff(starts)
    filled = np.flatnonzero(counts)
    if len(filled) == 0:
        return
    # Filled bins are neighbours in time, so reduceat's segments end where the next filled bin begins.
    sums = np.add.reduceat(frames[: starts[-1]], starts[filled], axis=0)
    aligned[filled] = sums / counts[filled, None]
