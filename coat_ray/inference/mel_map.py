"""From the tower's output back to a log-mel that people can read: one linear map for each base.

The reconstruction head predicts the tower's output, which nobody can look at. The map W is fitted once, by ridge
regression on clips of the embedded corpus, from the tower's output at a position to the log-mel of the same 40 ms; what
a block rebuilds is then W ẑ_recon, and can be no better than W z of the tower itself. That of the embedded base ships.
For another base: ``python -m coat_ray.inference.mel_map --family FAMILY --weights WEIGHTS``.

Shapes: P block positions, D hidden size, M mel bands, F frames.
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers.audio_utils import mel_filter_bank

from coat_ray.config import BackboneConfig
from coat_ray.corpus.builtin import corpus_folder
from coat_ray.corpus.manifest import read_manifest
from coat_ray.model.backbones import load_backbone
from coat_ray.model.backbones.base import Backbone
from coat_ray.model.generate import encode_clips
from coat_ray.provenance import fingerprint
from coat_ray.storage import Storage
from coat_ray.targets.align import align

logger = logging.getLogger(__name__)

RATE, FFT, HOP, BANDS = 16_000, 400, 160, 40
FLOOR_DB = 80.0
"""Quieter than this below the loudest cell of a clip is shown as this."""

CLIPS, RIDGE = 400, 1.0
SHIPPED = Path(__file__).parent / "mel_maps"
"""Apart from the bases: whoever loads a base takes every tensor in its folder for one of its weights (vLLM does)."""


@dataclass(frozen=True)
class MelMap:
    """``weight`` (M, D) and ``bias`` (M,), in dB."""

    weight: Tensor
    bias: Tensor

    @classmethod
    def find(cls, config: BackboneConfig) -> MelMap | None:
        """The map of a base: the one that ships, else one that was fitted on this machine, else None."""
        path = map_file(config)
        if not path.is_file():
            logger.info("no mel map for %s: what its blocks rebuild of the sound is not shown", config.weights)
            return None
        tensors = load_file(path)
        return cls(tensors["weight"].float(), tensors["bias"].float())

    def __call__(self, z_PD: Tensor) -> Tensor:
        """The log-mel (P, M) in dB that a tower's output (P, D), or a prediction of it, stands for."""
        return z_PD.float().cpu() @ self.weight.T + self.bias

    def save(self, path: Path) -> None:
        """Write it, in half precision."""
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({"weight": self.weight.half().contiguous(), "bias": self.bias.half().contiguous()}, path)


def map_file(config: BackboneConfig) -> Path:
    """Where the map of a base lies, or would."""
    if config.weights == "embedded":
        return SHIPPED / f"{config.family}.safetensors"
    key = fingerprint({"family": config.family, "weights": config.weights})[:16]
    return Storage.default().root / "mel_maps" / f"{key}.safetensors"


def log_mel(signal: np.ndarray, positions: int) -> np.ndarray:
    """Log-mel of a clip (n,) at 16 kHz on the block's grid, float32 (P, M), in dB below its loudest cell."""
    window = torch.hann_window(FFT)
    spectrum = torch.stft(torch.from_numpy(signal).float(), FFT, HOP, window=window, return_complex=True).abs() ** 2
    power_FM = spectrum.T @ torch.from_numpy(_bank()).float()
    decibel = 10 * torch.log10(power_FM.clamp(min=1e-10))
    shown = (decibel - decibel.max()).clamp(min=-FLOOR_DB)
    return align(shown.numpy(), RATE / HOP, 0.0, positions)


def band_centers() -> list[float]:
    """Centre of each band in Hz."""
    mel = np.linspace(0, _mel(RATE / 2), BANDS + 2)[1:-1]
    return [round(float(700 * (10 ** (m / 2595) - 1)), 1) for m in mel]


@torch.no_grad()
def fit(backbone: Backbone, clips: list[np.ndarray]) -> MelMap:
    """The ridge solution over all positions of *clips*, signals (n,) at 16 kHz."""
    inputs, outputs = [], []
    for clip in clips:
        heard = backbone.front.heard(clip)
        z_PD = encode_clips(backbone, backbone.front.features([heard])).float().cpu()
        inputs.append(z_PD)
        outputs.append(torch.from_numpy(log_mel(heard, len(z_PD))))
    z, mel = torch.cat(inputs).double(), torch.cat(outputs).double()
    z_mean, mel_mean = z.mean(0), mel.mean(0)
    centred = z - z_mean
    gram = centred.T @ centred + RIDGE * torch.eye(z.shape[1], dtype=torch.float64)
    weight = torch.linalg.solve(gram, centred.T @ (mel - mel_mean)).T
    return MelMap(weight.float(), (mel_mean - weight @ z_mean).float())


def training_clips(count: int = CLIPS) -> list[np.ndarray]:
    """Clips of the embedded corpus' training split."""
    from coat_ray.audio import load_audio  # noqa: PLC0415 - only fitting reads files

    manifest = read_manifest(corpus_folder("soundworld-mini", Storage.default()) / "train.jsonl")
    uris = sorted({row.audios[0] for row in manifest.rows if row.audios})[:count]
    return [load_audio(manifest.resolve(uri), RATE) for uri in uris]


def _mel(hertz: float) -> float:
    return float(2595 * np.log10(1 + hertz / 700))


def _bank() -> np.ndarray:
    bank: np.ndarray = mel_filter_bank(FFT // 2 + 1, BANDS, 0.0, RATE / 2, RATE, norm="slaney", mel_scale="htk")
    return bank


def main() -> None:
    """Fit the map of a base and write it where it is looked for."""
    defaults = BackboneConfig()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", default=defaults.family)
    parser.add_argument("--weights", default=defaults.weights)
    arguments = parser.parse_args()
    config = BackboneConfig(family=arguments.family, weights=arguments.weights)
    path = map_file(config)
    fit(load_backbone(config).eval(), training_clips()).save(path)
    print(path)  # noqa: T201 - a command says what it wrote


if __name__ == "__main__":
    main()
