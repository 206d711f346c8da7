"""The worked example of docs/experts.md: a teacher that hears which of the twelve pitch classes sound."""

from __future__ import annotations

from collections.abc import Sequence

import librosa
import numpy as np

from coat_ray.experts.base import Expert, ExpertSpec
from coat_ray.experts.torch_expert import check_clips, identity

SAMPLE_RATE, HOP, WINDOW = 16_000, 512, 4096
NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


class Chroma(Expert):
    """Energy per pitch class, the strongest of each frame being 1; computed, so there are no weights."""

    spec = ExpertSpec(
        name="chroma",
        sample_rate=SAMPLE_RATE,
        rate=SAMPLE_RATE / HOP,
        first_center=0.0,  # librosa centres frame i at sample i * HOP
        width=len(NAMES),
        loss="mse",
        licence="ISC",
        commercial_use=True,
        source="librosa",
        min_samples=WINDOW,
        labels=NAMES,
    )

    @classmethod
    def load(cls, weights: str = "embedded", layer: int | None = None) -> Chroma:
        if layer is not None:
            raise ValueError("chroma: there is one output; leave layer out")
        return cls()

    @property
    def fingerprint(self) -> str:
        return identity(name="chroma", hop=HOP, window=WINDOW, code=1)

    def encode(self, clips: Sequence[np.ndarray]) -> list[np.ndarray]:
        check_clips(clips, self.spec)
        return [
            librosa.feature.chroma_stft(y=clip, sr=SAMPLE_RATE, n_fft=WINDOW, hop_length=HOP, tuning=0.0)
            .T.astype(np.float32)
            for clip in clips
        ]  # fmt: skip
