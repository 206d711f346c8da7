"""What every frozen teacher states and offers, and the small frozen heads that training uses.

Shapes: N samples, L frames, E expert width, C classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

LossKind = Literal["mse", "bce", "mse_focal"]


@dataclass(frozen=True)
class ExpertSpec:
    """The facts of one teacher, as stored beside its targets.

    rate: frames per second; first_center: time in seconds of the centre of frame 0; width: E;
    sample_rate: Hz of the waveform that ``encode`` takes; loss: how the student is compared with it (paper 3.3).
    """

    name: str
    sample_rate: int
    rate: float
    first_center: float
    width: int
    loss: LossKind
    licence: str
    commercial_use: bool
    source: str
    min_samples: int = 1
    labels: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", tuple(self.labels))  # JSON gives lists

    def to_json(self) -> dict[str, Any]:
        """Plain data, readable back with ``ExpertSpec(**data)``."""
        return asdict(self)


@dataclass(frozen=True)
class OfficialWeights:
    """A published checkpoint: its file name in the cache, where it is published, and what it must look like."""

    file: str
    url: str
    licence: str
    size: int | None = None
    sha256: str | None = None


class FrozenHead(nn.Module, ABC):
    """A teacher's own last layer, frozen: reads features z (…, L, E) as logits."""

    kind: str

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """Constructor arguments besides the weights."""


class ClassifierHead(FrozenHead):
    """Linear map per frame, z (…, L, E) -> logits (…, L, C): g_cls of the tagger, or an affect or phone read-out."""

    kind = "classifier"

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.width, self.classes = width, classes
        self.linear = nn.Linear(width, classes)
        self.requires_grad_(False)

    def config(self) -> dict[str, Any]:
        """Constructor arguments besides the weights."""
        return {"width": self.width, "classes": self.classes}

    def forward(self, z: Tensor) -> Tensor:
        """Logits per frame and class."""
        return self.linear(z)


class ContourHead(FrozenHead):
    """h, basic-pitch's last convolution: z (…, L, 8*264) -> contour logits (…, L, 264), stride 1, zero pad 2."""

    kind = "contour"
    channels, bins = 8, 264

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(self.channels, 1, kernel_size=5, padding=2)
        self.requires_grad_(False)

    def config(self) -> dict[str, Any]:
        """Constructor arguments besides the weights."""
        return {}

    def forward(self, z: Tensor) -> Tensor:
        """Logits of the pitch contour; frames must be consecutive in time along L."""
        *lead, frames, _ = z.shape
        planes = z.reshape(-1, frames, self.channels, self.bins).transpose(1, 2)
        return F.conv2d(planes, self.conv.weight, self.conv.bias, padding=2).reshape(*lead, frames, self.bins)


HEAD_KINDS: dict[str, type[FrozenHead]] = {head.kind: head for head in (ClassifierHead, ContourHead)}


class Expert(ABC):
    """A frozen teacher: waveforms in, frames out. ``encode`` of a clip never depends on the rest of its batch."""

    spec: ExpertSpec
    head: FrozenHead | None = None
    official: ClassVar[OfficialWeights | None] = None
    """What ``coat experts pull`` downloads."""
    obtain: ClassVar[str] = "it has no weights to download"
    """How its weights are obtained where ``official`` is None."""

    @classmethod
    def load(cls, weights: str = "embedded", layer: int | None = None) -> Expert:
        """Build from "embedded" or "official" weights, or from the path of a checkpoint.

        Raises:
            ValueError: weights that are absent or do not fit, or a layer that the network does not have.
        """
        raise NotImplementedError(f"{cls.__name__} states no way to load it")

    @classmethod
    def official_spec(cls) -> ExpertSpec:
        """The facts at official size, without official weights at hand; by default those of the embedded size."""
        return cls.load().spec

    @classmethod
    def official_path(cls) -> Path | None:
        """Where the official weights lie on this machine; None where they are absent or there are none."""
        return None

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Hex digest over name, weights, tapped layer and code version."""

    @abstractmethod
    def encode(self, clips: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Encode mono float32 clips (N_i,) at ``spec.sample_rate`` into float32 frames (L_i, E).

        Raises:
            ValueError: a clip shorter than ``spec.min_samples``.
        """

    def to(self, device: torch.device | str) -> Expert:  # noqa: ARG002 - basic-pitch runs in onnxruntime
        """Move the weights to a device; the default has nothing to move."""
        return self
