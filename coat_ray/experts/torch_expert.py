"""The part of a teacher that every PyTorch encoder shares: grouping clips, checking them, identity.

Shapes: B batch, N samples, L frames, E expert width.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from coat_ray.experts.base import Expert, ExpertSpec, FrozenHead
from coat_ray.experts.weights import cached

MAX_BATCH_SECONDS = 60.0
"""Audio in one forward pass; bounds memory whatever a caller hands over."""


def identity(**parts: Any) -> str:
    """Hex digest of what makes a teacher's output what it is."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def check_clips(clips: Sequence[np.ndarray], spec: ExpertSpec) -> None:
    """Refuse what a teacher cannot encode, by the clip's place in the list.

    Raises:
        ValueError: a clip that is not mono, not finite, or shorter than ``spec.min_samples``.
    """
    for index, clip in enumerate(clips):
        if clip.ndim != 1:
            raise ValueError(f"{spec.name}: clip {index} has shape {clip.shape}; mono (samples,) is needed")
        if len(clip) < spec.min_samples:
            raise ValueError(
                f"{spec.name}: clip {index} has {len(clip)} samples; at least {spec.min_samples} "
                f"({spec.min_samples / spec.sample_rate:.3f} s at {spec.sample_rate} Hz) are needed"
            )
        if not np.isfinite(clip).all():
            raise ValueError(f"{spec.name}: clip {index} holds values that are not finite")


class TorchExpert(Expert):
    """Runs an encoder over clips of equal length at a time: no padding, so no clip can touch another."""

    def __init__(self, spec: ExpertSpec, encoder: nn.Module, head: FrozenHead | None, fingerprint: str) -> None:
        self.spec = spec
        self.encoder = encoder.eval().requires_grad_(False)
        self.head = head
        self._fingerprint = fingerprint
        self._device = torch.device("cpu")

    @property
    def fingerprint(self) -> str:
        """Hex digest over name, weights, tapped layer and code version."""
        return self._fingerprint

    @classmethod
    def official_path(cls) -> Path | None:
        """Where the official weights lie in the cache; None where they are absent."""
        return cached(cls.official)

    def to(self, device: torch.device | str) -> TorchExpert:
        """Move encoder and head to a device."""
        self._device = torch.device(device)
        self.encoder.to(self._device)
        if self.head is not None:
            self.head.to(self._device)
        return self

    def encode(self, clips: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Encode mono float32 clips (N_i,) at ``spec.sample_rate`` into float32 frames (L_i, E)."""
        check_clips(clips, self.spec)
        encoded: dict[int, np.ndarray] = {}
        for indices in self._batches(clips):
            waves_BN = torch.from_numpy(np.stack([clips[i] for i in indices]).astype(np.float32, copy=False))
            with torch.inference_mode():
                frames_BLE = self._frames(waves_BN.to(self._device)).float().cpu().numpy()
            encoded.update(zip(indices, frames_BLE, strict=True))
        return [encoded[i] for i in range(len(clips))]

    def _frames(self, waves_BN: Tensor) -> Tensor:
        """Waveforms of one length -> frames (B, L, E)."""
        return self.encoder(waves_BN)

    def _batches(self, clips: Sequence[np.ndarray]) -> Iterator[list[int]]:
        by_length: dict[int, list[int]] = defaultdict(list)
        for index, clip in enumerate(clips):
            by_length[len(clip)].append(index)
        for length, indices in by_length.items():
            size = max(1, int(MAX_BATCH_SECONDS * self.spec.sample_rate / length))
            yield from (indices[start : start + size] for start in range(0, len(indices), size))
