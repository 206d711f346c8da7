"""Sound events by additive and noise synthesis.

Every class is a function ``(n, timbre, noise) -> (n,)``: *timbre* is a generator seeded by (class, timbre id), from
which the class draws its fixed parameters; *noise* is the clip's own generator (strike times, noise samples).
"""

from __future__ import annotations

from collections.abc import Callable
from zlib import crc32

import numpy as np
from scipy.signal import butter, sosfilt

RATE = 16_000
LEVEL = 0.08
"""Geometric mean of a source's RMS while it sounds and over all, so that sparse ticks are heard beside rain."""

Source = Callable[[int, np.random.Generator, np.random.Generator], np.ndarray]


def event(name: str, timbre: int, seconds: float, seed: int) -> np.ndarray:
    """Render one event: float32 (n,) at 16 kHz, faded at both ends; *timbre* fixes the source, *seed* the draw."""
    own = np.random.default_rng([crc32(name.encode()), timbre])
    signal = EVENT_SOURCES[name](round(seconds * RATE), own, np.random.default_rng([seed, timbre]))
    fade = min(160, len(signal) // 2)
    signal[:fade] *= np.linspace(0, 1, fade)
    signal[-fade:] *= np.linspace(1, 0, fade)
    power = signal**2
    loud = power[power > 0.01 * power.max()]
    return (LEVEL * signal / (loud.mean() * power.mean()) ** 0.25).astype(np.float32)


def _dog(n: int, timbre: np.random.Generator, noise: np.random.Generator) -> np.ndarray:
    base, fall, rough = timbre.uniform(280, 560), timbre.uniform(0.45, 0.7), timbre.uniform(0.2, 0.5)
    length, gap = timbre.uniform(0.14, 0.22), timbre.uniform(0.38, 0.55)

    def bark() -> np.ndarray:
        t = _time(length)
        bend = base * noise.uniform(0.95, 1.05) * (1 - (1 - fall) * t / length)
        voiced = sum(np.sin(k * _phase(bend)) / k for k in range(1, 9))
        breath = _band(noise.standard_normal(len(t)), 400, 3000)
        return (voiced + 2 * rough * breath) * np.sin(np.pi * np.sqrt(t / length)) ** 2

    return _strikes(n, gap, 0.08, noise, bark)


def _bird(n: int, timbre: np.random.Generator, noise: np.random.Generator) -> np.ndarray:
    base, sweep = timbre.uniform(2600, 4800), timbre.uniform(600, 1500) * timbre.choice((-1, 1))
    length, gap, trill = timbre.uniform(0.06, 0.13), timbre.uniform(0.16, 0.28), timbre.uniform(25, 60)

    def chirp() -> np.ndarray:
        t = _time(length)
        tone = base * noise.uniform(0.94, 1.06) + sweep * t / length + 150 * np.sin(2 * np.pi * trill * t)
        return np.sin(_phase(tone)) * np.hanning(len(t))

    return _strikes(n, gap, 0.15, noise, chirp)


def _rain(n: int, timbre: np.random.Generator, noise: np.random.Generator) -> np.ndarray:
    low, high, density = timbre.uniform(600, 1500), timbre.uniform(5500, 7500), timbre.uniform(60, 160)
    hiss = _band(noise.standard_normal(n), low, high)
    drops = np.where(noise.random(n) < density / RATE, noise.uniform(4, 14, n), 0.0)
    return hiss + _band(np.convolve(drops, np.exp(-_time(0.006) * 700), "full")[:n], low, high) * 3


def _wind(n: int, timbre: np.random.Generator, noise: np.random.Generator) -> np.ndarray:
    low, width, gust = timbre.uniform(120, 300), timbre.uniform(150, 400), timbre.uniform(0.7, 1.8)
    t = np.arange(n) / RATE
    swell = 0.55 + 0.45 * np.sin(2 * np.pi * (gust * t + noise.random()))
    return _band(noise.standard_normal(n), low, low + width) * swell


def _siren(n: int, timbre: np.random.Generator, noise: np.random.Generator) -> np.ndarray:
    low, high, speed = timbre.uniform(500, 700), timbre.uniform(1000, 1500), timbre.uniform(0.8, 2.2)
    bright = timbre.uniform(0.2, 0.6)
    cycle = np.sin(2 * np.pi * (speed * np.arange(n) / RATE + noise.random()))
    phase = _phase((low + high) / 2 + (high - low) / 2 * cycle)
    return np.sin(phase) + bright * np.sin(2 * phase) + bright**2 * np.sin(3 * phase)


def _clock(n: int, timbre: np.random.Generator, noise: np.random.Generator) -> np.ndarray:
    tones, decay, gap = timbre.uniform(1800, 5200, 3), timbre.uniform(100, 200), timbre.uniform(0.2, 0.3)
    turn = iter(range(10_000))

    def tick() -> np.ndarray:
        t = _time(0.05)
        pitch = 1.0 if next(turn) % 2 == 0 else 0.8
        return sum(np.sin(2 * np.pi * pitch * f * t) for f in tones) * np.exp(-decay * t)

    return _strikes(n, gap, 0.0, noise, tick)


def _knock(n: int, timbre: np.random.Generator, noise: np.random.Generator) -> np.ndarray:
    tone, decay, gap = timbre.uniform(110, 240), timbre.uniform(35, 70), timbre.uniform(0.2, 0.32)

    def blow() -> np.ndarray:
        t = _time(0.1)
        thud = np.sin(2 * np.pi * tone * t) + 0.5 * np.sin(2 * np.pi * 2.3 * tone * t)
        return (thud + 0.4 * _band(noise.standard_normal(len(t)), 200, 900)) * np.exp(-decay * t)

    return _strikes(n, gap, 0.08, noise, blow)


def _engine(n: int, timbre: np.random.Generator, noise: np.random.Generator) -> np.ndarray:
    base, slope, wobble = timbre.uniform(35, 75), timbre.uniform(0.5, 0.9), timbre.uniform(2, 6)
    t = np.arange(n) / RATE
    phase = _phase(base * (1 + 0.03 * np.sin(2 * np.pi * (wobble * t + noise.random()))))
    hum = sum(np.sin(k * phase + k * k) * slope ** (k / 3) for k in range(1, 24))
    return hum * (1 + 0.3 * np.sin(phase / 2)) + 0.4 * _band(noise.standard_normal(n), 80, 800)


def _bell(n: int, timbre: np.random.Generator, noise: np.random.Generator) -> np.ndarray:
    base, decay, gap = timbre.uniform(900, 1700), timbre.uniform(2.5, 5), timbre.uniform(0.55, 0.9)
    ratios = np.array([1, 2.0, 2.76, 4.07, 5.4]) * timbre.uniform(0.985, 1.015, 5)

    def ring() -> np.ndarray:
        t = _time(0.9)
        partials = (np.sin(2 * np.pi * base * r * t) * np.exp(-decay * r * t) / r for r in ratios if base * r < 7500)
        return sum(partials)

    return _strikes(n, gap, 0.02, noise, ring)


def _water(n: int, timbre: np.random.Generator, noise: np.random.Generator) -> np.ndarray:
    base, rise, gap = timbre.uniform(500, 1100), timbre.uniform(1.6, 2.4), timbre.uniform(0.22, 0.4)

    def drip() -> np.ndarray:
        t = _time(0.07)
        return np.sin(_phase(base * noise.uniform(0.9, 1.1) * rise ** (t / 0.07))) * np.exp(-45 * t)

    return _strikes(n, gap, 0.25, noise, drip)


def _clap(n: int, timbre: np.random.Generator, noise: np.random.Generator) -> np.ndarray:
    low, high = timbre.uniform(700, 1100), timbre.uniform(2200, 3600)
    decay, gap = timbre.uniform(50, 110), timbre.uniform(0.2, 0.34)

    def hands() -> np.ndarray:
        t = _time(0.09)
        return _band(noise.standard_normal(len(t)), low, high) * np.exp(-decay * t)

    return _strikes(n, gap, 0.1, noise, hands)


def _alarm(n: int, timbre: np.random.Generator, noise: np.random.Generator) -> np.ndarray:
    tone, length, gap = timbre.uniform(1900, 3100), timbre.uniform(0.07, 0.14), timbre.uniform(0.2, 0.32)
    odd = timbre.uniform(0.1, 0.4)

    def beep() -> np.ndarray:
        t = _time(length)
        edge = np.minimum(1, np.minimum(t, length - t) / 0.005)
        return (np.sin(2 * np.pi * tone * t) + odd * np.sin(4 * np.pi * tone * t)) * edge

    return _strikes(n, gap, 0.0, noise, beep)


EVENT_SOURCES: dict[str, Source] = {
    "dog": _dog,
    "bird": _bird,
    "rain": _rain,
    "wind": _wind,
    "siren": _siren,
    "clock": _clock,
    "knock": _knock,
    "engine": _engine,
    "bell": _bell,
    "water": _water,
    "clap": _clap,
    "alarm": _alarm,
}


def _strikes(
    n: int, gap: float, jitter: float, noise: np.random.Generator, strike: Callable[[], np.ndarray]
) -> np.ndarray:
    """Repeat *strike* every *gap* seconds, each onset off by up to *jitter* gaps, cut at *n* samples."""
    signal = np.zeros(n)
    onset = noise.uniform(0, 0.3 * gap)
    while onset * RATE < n:
        at = round(onset * RATE)
        piece = strike()[: n - at]
        signal[at : at + len(piece)] += piece * noise.uniform(0.8, 1)
        onset += gap * (1 + noise.uniform(-jitter, jitter))
    return signal


def _time(seconds: float) -> np.ndarray:
    return np.arange(round(seconds * RATE)) / RATE


def _phase(hertz: np.ndarray) -> np.ndarray:
    return 2 * np.pi * np.cumsum(hertz) / RATE


def _band(signal: np.ndarray, low: float, high: float) -> np.ndarray:
    """Second-order band pass, scaled to unit RMS."""
    filtered = sosfilt(butter(2, (low, high), "bandpass", fs=RATE, output="sos"), signal)
    return filtered / (np.sqrt(np.mean(filtered**2)) + 1e-9)
