"""What the two waveform encoders (SpidR, emotion2vec) share: seven convolutions, 16 kHz in, one frame per 20 ms.

Shapes: B batch, N samples, L frames.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

SAMPLE_RATE = 16_000
KERNELS = (10, 3, 3, 3, 3, 2, 2)
STRIDES = (5, 2, 2, 2, 2, 2, 2)
MIN_SAMPLES = 400
"""Receptive field of one frame: 25 ms."""
RATE = 50.0
FIRST_CENTER = 0.0125


def num_frames(num_samples: int) -> int:
    """Frames of a signal of *num_samples* at 16 kHz: (N - 400) // 320 + 1."""
    return (num_samples - MIN_SAMPLES) // 320 + 1


def standardise(waves_BN: Tensor) -> Tensor:
    """Mean 0 and variance 1 per utterance, as both models expect; silence stays silence."""
    return F.layer_norm(waves_BN, waves_BN.shape[-1:])
