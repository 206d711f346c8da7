"""A pitch meter that shares no code with the synthesis."""

from __future__ import annotations

import numpy as np


def hertz(signal: np.ndarray, rate: int, low: float, high: float) -> float:
    """Fundamental by autocorrelation: the shortest lag that comes near the best one."""
    spectrum = np.abs(np.fft.rfft(signal - signal.mean(), 2 * len(signal))) ** 2
    match = np.fft.irfft(spectrum)[: len(signal)] / np.arange(len(signal), 0, -1)
    first, last = int(rate / high), int(rate / low)
    inside = match[first : last + 1]
    peaks = [i for i in range(1, len(inside) - 1) if inside[i - 1] < inside[i] >= inside[i + 1]]
    lag = next(i for i in peaks if inside[i] > 0.9 * inside[peaks].max())
    left, mid, right = inside[lag - 1 : lag + 2]
    return float(rate / (first + lag + 0.5 * (left - right) / (left - 2 * mid + right)))
