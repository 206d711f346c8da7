"""A visitor's clip: decoded once, within bounds, and kept as a small WAV file in memory."""

from __future__ import annotations

import hashlib
import io
import itertools
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import soundfile

from coat_ray.audio import AudioLimits, load_audio

SAMPLE_RATE = 16_000
"""What every model here hears; a clip is played at this rate too."""

LIMITS = AudioLimits(max_seconds=300.0, max_bytes=32 * 2**20, max_sample_rate=192_000)
OUTLINE_POINTS = 400


@dataclass(frozen=True)
class Clip:
    """Mono float32 samples at :data:`SAMPLE_RATE`, and the name that the visitor knows it by."""

    name: str
    signal: np.ndarray

    @classmethod
    def read(cls, path: str | Path, name: str | None = None) -> Clip:
        """Decode a file.

        Raises:
            AudioError: it cannot be used.
        """
        return cls(name or Path(path).name, load_audio(Path(path), SAMPLE_RATE, LIMITS))

    @cached_property
    def wav(self) -> bytes:
        """16-bit WAV, as it is sent and played."""
        file = io.BytesIO()
        soundfile.write(file, np.clip(self.signal, -1, 1), SAMPLE_RATE, format="WAV", subtype="PCM_16")
        return file.getvalue()

    @cached_property
    def id(self) -> str:
        """Of its sound: the same clip twice is one."""
        return hashlib.sha256(self.wav).hexdigest()[:24]

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.signal) / SAMPLE_RATE

    def outline(self) -> tuple[list[float], list[float], list[float]]:
        """Times in seconds, and the lowest and highest sample around each: what a waveform is drawn from."""
        count = min(OUTLINE_POINTS, len(self.signal))
        edges = np.linspace(0, len(self.signal), count + 1).astype(int)
        parts = [self.signal[a:b] for a, b in itertools.pairwise(edges)]
        times = (edges[:-1] + edges[1:]) / 2 / SAMPLE_RATE
        return times.tolist(), [float(p.min()) for p in parts], [float(p.max()) for p in parts]
