"""The convolutions that both embedded waveform encoders start from, taught to tell a log-mel spectrum.

Learning them once, on short crops, and freezing them makes the rest cheap: everything after them trains on stored
features, which is what brings all of it down to minutes on one core.

Shapes: B batch, N samples, L frames, M mel bins, C channels, G clips of one length.
"""

from __future__ import annotations

from collections.abc import Iterator

import librosa
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coat_ray.experts import waveform
from coat_ray.experts.pretraining.data import Example, by_length, filled
from coat_ray.experts.spidr import FeatureExtractor

CROP = 3200
"""Samples per crop; nine frames."""
MEL_BINS = 40


class LogMelReader(nn.Module):
    """Reads local features (B, L, C) as the log-mel spectrum of each frame's own 25 ms."""

    mel: Tensor
    window: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        size = waveform.MIN_SAMPLES
        mel = librosa.filters.mel(sr=waveform.SAMPLE_RATE, n_fft=size, n_mels=MEL_BINS, fmin=60)
        self.register_buffer("mel", torch.from_numpy(mel).float())
        self.register_buffer("window", torch.hann_window(size))
        self.read = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, MEL_BINS))

    def target(self, waves_BN: Tensor) -> Tensor:
        """Log-mel frames (B, L, M) on the encoders' own grid, roughly of unit size."""
        frames_BLN = waves_BN.unfold(1, waveform.MIN_SAMPLES, 320) * self.window
        power = torch.fft.rfft(frames_BLN).abs().square() @ self.mel.T
        return (power + 1e-3).log() / 3.0

    def loss(self, local_BLC: Tensor, waves_BN: Tensor) -> Tensor:
        """Mean squared error."""
        return F.mse_loss(self.read(local_BLC), self.target(waves_BN))


def crops(clips: list[Example], size: int, rng: np.random.Generator) -> Iterator[Tensor]:
    """Endless batches (B, CROP) out of standardised clips."""
    while True:
        chosen = [clips[i].signal for i in rng.integers(len(clips), size=size)]
        cut = []
        for signal in chosen:
            at = int(rng.integers(len(signal) - CROP))
            cut.append((signal[at : at + CROP] - signal.mean()) / (signal.std() + 1e-5))
        yield torch.from_numpy(np.stack(cut)).float()


def front_losses(
    front: FeatureExtractor, reader: LogMelReader, clips: list[Example], size: int, rng: np.random.Generator
) -> Iterator[dict[str, Tensor]]:
    """What the convolutions are trained with."""
    for waves_BN in crops(clips, size, rng):
        yield {"mel": reader.loss(front(waves_BN), waves_BN)}


@torch.inference_mode()
def local_features(front: FeatureExtractor, clips: list[Example], rng: np.random.Generator) -> dict[int, Tensor]:
    """Features (G, L, C) of clips by length, each with a little noise of its own."""
    stored = {}
    for length, group in by_length(clips).items():
        waves = filled(group, length)
        noise = rng.standard_normal(waves.shape, dtype=np.float32)
        level = waves.std(axis=1, keepdims=True) * rng.uniform(0, 0.05, (len(waves), 1)).astype(np.float32)
        noisy = waveform.standardise(torch.from_numpy(waves + level * noise))
        stored[length] = torch.cat([front(part) for part in noisy.split(8)]).clone()
    return stored


def as_emotion2vec(front: FeatureExtractor) -> dict[str, Tensor]:
    """The same convolutions under emotion2vec's names."""
    named = {".conv.": ".0.", ".layer_norm.": ".2.1."}
    state = {}
    for key, value in front.state_dict().items():
        for ours, theirs in named.items():
            key = key.replace(ours, theirs)  # noqa: PLW2901
        state[key] = value
    return state
