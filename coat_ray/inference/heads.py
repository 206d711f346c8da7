"""What the experts' heads predict from a block.

Shapes: P block positions, D hidden size, E expert width, M mel bands.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from coat_ray.config import RECON, ProjectorConfig
from coat_ray.inference.mel_map import MelMap
from coat_ray.inference.views import Readers
from coat_ray.model.coat import CoatModel
from coat_ray.model.projectors import make_projector


class BlockHeads(Readers):
    """The projection heads of one adapter and their teachers' frozen last layers, without a backbone."""

    def __init__(self, folder: Path, hidden: int) -> None:
        super().__init__(folder)
        card = json.loads((folder / "heads.json").read_text())
        projector = ProjectorConfig(**card["projector"])
        widths = {role: teacher["width"] for role, teacher in card["teachers"].items()}
        self.heads = nn.ModuleDict({r: make_projector(hidden, width, projector) for r, width in widths.items()})
        self.heads.load_state_dict(load_file(folder / "heads.safetensors"))
        self.eval().requires_grad_(False)

    @property
    def nbytes(self) -> int:
        """Bytes of all weights."""
        return sum(tensor.nbytes for tensor in self.state_dict().values())

    @torch.inference_mode()
    def predict(self, h_think: Tensor, sounding: int, mel_map: MelMap | None = None) -> dict[str, Tensor]:
        """P_k of every head on one answer's block (P, D): features (P, E), under ``recon`` a log-mel (P, M).

        Only the first *sounding* positions are given: the rest thinks on in the silence that filled the clip up.
        """
        found: dict[str, Tensor] = {}
        for role in self.heads if len(h_think) else ():
            if role == RECON and mel_map is None:
                continue
            if role == RECON or role in self.specs:
                z_hat = CoatModel.predict(cast("CoatModel", self), role, h_think, torch.tensor([len(h_think)]))
                shown = z_hat[:sounding]
                found[role] = mel_map(shown) if role == RECON and mel_map else shown
        return found
