"""A codec's encoder as an optional reconstruction target: Sim-Whisper (arXiv 2510.20504), 768 wide at 50 Hz.

The paper's table A and figure 4 name this codec where its section 3.3.1 names the backbone's own tower, which is our
default (role ``recon``). The codec's code is not part of this package: the user exports its frozen acoustic encoder,
mel front end included, as one TorchScript file. Give it a role of its own beside or instead of ``recon``.

Shapes: B batch, N samples, L frames.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from coat_ray.experts.base import ExpertSpec
from coat_ray.experts.torch_expert import TorchExpert, identity
from coat_ray.experts.weights import WeightsError, digest

CODE_VERSION = 1
SAMPLE_RATE, HOP, WIDTH = 16_000, 320, 768
MIN_SAMPLES = 2 * HOP


class Exported(nn.Module):
    """The user's module (B, N) -> (B, L, 768), held to one frame per 320 samples."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, waves_BN: Tensor) -> Tensor:
        """See the class.

        Raises:
            ValueError: the module gives another shape than it must for this length.
        """
        frames_BLE: Tensor = self.module(waves_BN)
        (batch, samples), shape = waves_BN.shape, tuple(frames_BLE.shape)
        expected = samples / HOP
        if len(shape) != 3 or (shape[0], shape[2]) != (batch, WIDTH) or abs(shape[1] - expected) > 1:
            raise ValueError(
                f"sim_whisper: the module gave {shape} for ({batch}, {samples}) samples; it must "
                f"give ({batch}, about {expected:.0f}, {WIDTH}), without the frames of its own padding"
            )
        return frames_BLE


class SimWhisper(TorchExpert):
    """The codec as a teacher: frames of the user's module.

    Frame i is centred at 20i ms, as behind Whisper's centred mel frames (10 ms apart) and its stride-2 convolution.
    """

    obtain = (
        "export its encoder as a TorchScript file, (batch, samples at 16 kHz) -> (batch, frames at 50 Hz, 768), and "
        "give the file's path as weights; docs/experts.md says how"
    )

    @classmethod
    def official_spec(cls) -> ExpertSpec:
        """The facts; terms are those of the file that the user brings, so nothing is promised about them."""
        return ExpertSpec(
            name="sim_whisper",
            sample_rate=SAMPLE_RATE,
            rate=SAMPLE_RATE / HOP,
            first_center=0.0,
            width=WIDTH,
            loss="mse",
            licence="unknown (a file of the user)",
            commercial_use=False,
            source="a TorchScript file of the user",
            min_samples=MIN_SAMPLES,
        )

    @classmethod
    def load(cls, weights: str = "embedded", layer: int | None = None) -> SimWhisper:
        """Open a TorchScript file by its path. It runs as it is: take one only from where you would take code.

        Raises:
            WeightsError: no path, no file there, or not TorchScript.
            ValueError: a layer was asked for; this teacher has one output.
        """
        if layer is not None:
            raise ValueError("sim_whisper: there is one output; leave layer out")
        path = Path(weights).expanduser()
        if weights in ("embedded", "official") or not path.is_file():
            where = "" if weights in ("embedded", "official") else f" at {path}"
            raise WeightsError(f"sim_whisper: no weights{where}; {cls.obtain}")
        try:
            encoder = torch.jit.load(path, map_location="cpu")
        except RuntimeError as error:
            raise WeightsError(f"sim_whisper: {path} is not a TorchScript file; {cls.obtain}") from error
        id_ = identity(name="sim_whisper", weights=digest(path), layer="output", code=CODE_VERSION)
        return cls(cls.official_spec(), Exported(encoder), None, id_)
