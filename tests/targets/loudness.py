"""A small deterministic teacher for these tests: loudness and zero crossings of 20 ms frames."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from coat_ray.config import ExpertConfig
from coat_ray.experts.base import Expert, ExpertSpec

REFUSED_LEVEL = 0.9
"""Peak from which the teacher refuses a clip, as a real one refuses what it cannot encode."""


class Loudness(Expert):
    """Two numbers per 20 ms; ``calls`` are the sizes of the batches it was given."""

    def __init__(self, sample_rate: int) -> None:
        self.hop = sample_rate // 50
        self.calls: list[int] = []
        self.spec = ExpertSpec(
            name=f"loudness{sample_rate}",
            sample_rate=sample_rate,
            rate=50.0,
            first_center=0.010,
            width=2,
            loss="mse",
            licence="MIT",
            commercial_use=True,
            source="these tests",
            min_samples=self.hop,
        )

    @property
    def fingerprint(self) -> str:
        return self.spec.name.encode().hex().ljust(64, "0")

    def encode(self, clips: Sequence[np.ndarray]) -> list[np.ndarray]:
        self.calls.append(len(clips))
        if any(np.abs(clip).max() > REFUSED_LEVEL for clip in clips):
            raise ValueError("a clip is too loud")
        return [self._frames(clip) for clip in clips]

    def _frames(self, clip: np.ndarray) -> np.ndarray:
        frames = clip[: len(clip) // self.hop * self.hop].reshape(-1, self.hop)
        crossings = (np.diff(np.signbit(frames), axis=1)).mean(axis=1)
        return np.stack([np.sqrt((frames**2).mean(axis=1)), crossings], axis=1).astype(np.float32)


def load(config: ExpertConfig, device: str = "cpu") -> Loudness:
    """The loader these tests hand to ``encode_corpus``: model "loudness16000" or "loudness32000"."""
    return Loudness(int(config.model.removeprefix("loudness")))


FATAL_LEVEL = 0.8
"""Peak at which the fragile teacher ends its process, as a crash in native code does."""


def load_fragile(config: ExpertConfig, device: str = "cpu") -> Loudness:
    """A teacher that a clip with a peak between ``FATAL_LEVEL`` and ``REFUSED_LEVEL`` kills, each time."""
    expert = load(config, device)
    plain = expert.encode

    def encode(clips: Sequence[np.ndarray]) -> list[np.ndarray]:
        if any(np.abs(clip).max() > FATAL_LEVEL for clip in clips):
            os.kill(os.getpid(), signal.SIGKILL)
        return plain(clips)

    expert.encode = encode  # type: ignore[method-assign]
    return expert


class Trouble:
    """A loader whose teacher misbehaves once, so that a retry or a second run can be watched."""

    def __init__(self, kind: str, marker: Path) -> None:
        self.kind, self.marker = kind, marker

    def __call__(self, config: ExpertConfig, device: str = "cpu") -> Loudness:
        expert = load(config, device)
        plain = expert.encode

        def encode(clips: Sequence[np.ndarray]) -> list[np.ndarray]:
            if not self.marker.exists():
                self.marker.touch()
                if self.kind == "dies":
                    os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does when memory runs out
                raise RuntimeError("out of memory")
            return plain(clips)

        expert.encode = encode  # type: ignore[method-assign]
        return expert


class Slow:
    """A loader whose teacher takes its time, so that a job can be met at work."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self, config: ExpertConfig, device: str = "cpu") -> Loudness:
        expert = load(config, device)
        plain = expert.encode

        def encode(clips: Sequence[np.ndarray]) -> list[np.ndarray]:
            time.sleep(self.seconds)
            return plain(clips)

        expert.encode = encode  # type: ignore[method-assign]
        return expert


class In:
    """A loader that sets environment variables where it runs, as a cluster's nodes have them."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment

    def __call__(self, config: ExpertConfig, device: str = "cpu") -> Loudness:
        os.environ.update(self.environment)
        return load(config, device)
