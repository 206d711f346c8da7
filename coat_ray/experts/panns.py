"""PANNs Cnn14_DecisionLevelMax, the sound event teacher (arXiv 1912.10211): waveform to 527 AudioSet classes.

Own inference path; parameter names are those of the official checkpoint. The tapped value is relu(fc1(.)), the input of
the last linear map g_cls, one frame per 32 mel frames (3.125 Hz). The transform and mel matrices are parameters of the
official checkpoint and loaded with it; embedded weights leave them out and they are computed.

Shapes: B batch, N samples, T mel frames, M mel bins, S segments (frames of this teacher), D width.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import librosa
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coat_ray.experts import audioset
from coat_ray.experts.base import ClassifierHead, ExpertSpec, OfficialWeights
from coat_ray.experts.torch_expert import TorchExpert, identity
from coat_ray.experts.weights import load_strict, load_weights

CODE_VERSION = 1
OFFICIAL_WEIGHTS = OfficialWeights(
    file="Cnn14_DecisionLevelMax_mAP=0.385.pth",
    url="https://zenodo.org/records/3987831/files/Cnn14_DecisionLevelMax_mAP%3D0.385.pth",
    licence="CC-BY-4.0",
    size=327_428_481,
    sha256="dd3b4043a87d4ec13df8082c0fcfee3fb5084151808e47e060987a95eabdd142",
)
COMPUTED = (
    "spectrogram_extractor.stft.conv_real.weight",
    "spectrogram_extractor.stft.conv_imag.weight",
    "logmel_extractor.melW",
)
"""Keys that follow from the sizes; embedded weights do not store them."""
SAMPLE_RATE, WINDOW, HOP, MEL_BINS, F_MIN, F_MAX = 32_000, 1024, 320, 64, 50, 14_000
POOLING = 32
"""Mel frames per segment: five halvings."""
MIN_SAMPLES = (POOLING - 1) * HOP


@dataclass(frozen=True)
class PannsConfig:
    """Sizes of the network; the defaults are the official model."""

    channels: tuple[int, ...] = (64, 128, 256, 512, 1024, 2048)
    classes: int = audioset.NUM_CLASSES

    @property
    def width(self) -> int:
        """Width of the tapped frames."""
        return self.channels[-1]


OFFICIAL = PannsConfig()
EMBEDDED = PannsConfig(channels=(8, 16, 32, 64, 96, 128))


def num_segments(num_samples: int) -> int:
    """Frames of a signal of *num_samples* at 32 kHz: (N // 320 + 1) // 32."""
    return (num_samples // HOP + 1) // POOLING


class Stft(nn.Module):
    """Windowed transform as two convolutions: (B, N) -> power (B, T, 513)."""

    def __init__(self) -> None:
        super().__init__()
        n = np.arange(WINDOW)
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * n / WINDOW)
        phase = 2 * np.pi * (np.outer(np.arange(WINDOW // 2 + 1), n) % WINDOW) / WINDOW
        self.conv_real = self._conv(np.cos(phase) * hann)
        self.conv_imag = self._conv(-np.sin(phase) * hann)

    @staticmethod
    def _conv(matrix: np.ndarray) -> nn.Conv1d:
        conv = nn.Conv1d(1, len(matrix), WINDOW, stride=HOP, bias=False)
        conv.weight = nn.Parameter(torch.from_numpy(matrix).float().unsqueeze(1), requires_grad=False)
        return conv

    def forward(self, waves_BN: Tensor) -> Tensor:
        """See the class; the signal is mirrored by half a window at both ends."""
        padded = F.pad(waves_BN.unsqueeze(1), (WINDOW // 2, WINDOW // 2), mode="reflect")
        return (self.conv_real(padded).square() + self.conv_imag(padded).square()).transpose(1, 2)


class Spectrogram(nn.Module):
    """Holds the transform under its official name."""

    def __init__(self) -> None:
        super().__init__()
        self.stft = Stft()

    def forward(self, waves_BN: Tensor) -> Tensor:
        """Power spectrum (B, T, 513)."""
        return self.stft(waves_BN)


class LogMel(nn.Module):
    """Power spectrum -> mel power in dB, not below -100."""

    def __init__(self) -> None:
        super().__init__()
        mel = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=WINDOW, n_mels=MEL_BINS, fmin=F_MIN, fmax=F_MAX)
        self.melW = nn.Parameter(torch.from_numpy(mel.T.copy()).float(), requires_grad=False)

    def forward(self, power: Tensor) -> Tensor:
        """See the class."""
        return 10.0 * torch.log10((power @ self.melW).clamp_min(1e-10))


class ConvBlock(nn.Module):
    """Two 3x3 convolutions with batch norm, then average pooling."""

    def __init__(self, width_in: int, width: int, pool: int) -> None:
        super().__init__()
        self.pool = pool
        self.conv1 = nn.Conv2d(width_in, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        return F.avg_pool2d(x, self.pool) if self.pool > 1 else x


class PannsEncoder(nn.Module):
    """Waveform (B, N) at 32 kHz -> frames (B, S, D); ``fc_audioset`` is g_cls and read apart."""

    def __init__(self, config: PannsConfig) -> None:
        super().__init__()
        self.config = config
        self.spectrogram_extractor = Spectrogram()
        self.logmel_extractor = LogMel()
        self.bn0 = nn.BatchNorm2d(MEL_BINS)
        widths = (1, *config.channels)
        for n, (width_in, width) in enumerate(pairwise(widths), start=1):
            self.add_module(f"conv_block{n}", ConvBlock(width_in, width, pool=1 if n == len(config.channels) else 2))
        self.fc1 = nn.Linear(config.width, config.width)
        self.fc_audioset = nn.Linear(config.width, config.classes)

    def log_mel(self, waves_BN: Tensor) -> Tensor:
        """Mel power in dB, (B, T, M)."""
        return self.logmel_extractor(self.spectrogram_extractor(waves_BN))

    def forward(self, waves_BN: Tensor) -> Tensor:
        """Frames relu(fc1(.)) (B, S, D)."""
        return self.from_log_mel(self.log_mel(waves_BN))

    def from_log_mel(self, mel_BTM: Tensor) -> Tensor:
        """The same from mel power, so that training can compute it once."""
        x = self.bn0(mel_BTM.transpose(1, 2).unsqueeze(-1)).permute(0, 3, 2, 1)
        for n in range(1, len(self.config.channels) + 1):
            x = self.get_submodule(f"conv_block{n}")(x)
        x_BDS = x.mean(dim=3)
        x_BDS = F.max_pool1d(x_BDS, 3, stride=1, padding=1) + F.avg_pool1d(x_BDS, 3, stride=1, padding=1)
        return F.relu(self.fc1(x_BDS.transpose(1, 2)))


class Panns(TorchExpert):
    """The sound event teacher; its head is g_cls over the 527 AudioSet classes."""

    official = OFFICIAL_WEIGHTS

    @classmethod
    def official_spec(cls) -> ExpertSpec:
        """The facts at official size."""
        return _spec(OFFICIAL, embedded=False)

    @classmethod
    def load(cls, weights: str = "embedded", layer: int | None = None) -> Panns:
        """Build from embedded or official weights, or from the path of a checkpoint.

        Raises:
            WeightsError: weights that are absent or do not fit.
            ValueError: a layer was asked for; this teacher has one tap.
        """
        if layer is not None:
            raise ValueError("panns: there is one tap, the input of g_cls; leave layer out")
        loaded = load_weights("panns", weights, OFFICIAL_WEIGHTS)
        config = PannsConfig(channels=tuple(loaded.meta["config"]["channels"])) if loaded.embedded else OFFICIAL
        encoder = PannsEncoder(config)
        state = loaded.state
        if loaded.embedded:
            computed = {key: value for key, value in encoder.state_dict().items() if key in COMPUTED}
            state = computed | loaded.part("encoder")
        load_strict(encoder, state, (), loaded.path)
        head = ClassifierHead(config.width, config.classes)
        head.linear.load_state_dict(encoder.fc_audioset.state_dict())
        id_ = identity(name="panns", weights=loaded.sha256, layer="fc1", code=CODE_VERSION)
        return cls(_spec(config, loaded.embedded), encoder, head, id_)


def _spec(config: PannsConfig, embedded: bool) -> ExpertSpec:
    return ExpertSpec(
        name="panns",
        sample_rate=SAMPLE_RATE,
        rate=SAMPLE_RATE / HOP / POOLING,
        first_center=0.155,
        width=config.width,
        loss="bce",
        licence="Apache-2.0" if embedded else OFFICIAL_WEIGHTS.licence,
        commercial_use=True,
        source="coat_ray, trained on SoundWorld" if embedded else OFFICIAL_WEIGHTS.url,
        min_samples=MIN_SAMPLES,
        labels=audioset.labels(),
    )
