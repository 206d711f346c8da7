"""What the experts' heads read in a block, small enough to send.

Shapes: P block positions, D hidden size, C classes or bins, T columns in time.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from coat_ray.config import ProjectorConfig
from coat_ray.experts.base import HEAD_KINDS, ContourHead, ExpertSpec, FrozenHead
from coat_ray.model.coat import CoatModel
from coat_ray.model.projectors import make_projector
from coat_ray.model.reading import CONTOUR_BINS_PER_SEMITONE, SECONDS_PER_POSITION, Reading, read_block
from coat_ray.targets.align import BLOCK_FIRST_CENTER

MOST_LINES = 16
"""Classes or notes in a view: the ones with the highest peaks."""


class BlockHeads(nn.Module):
    """The projection heads of one adapter and their teachers' frozen last layers, without a backbone."""

    def __init__(self, folder: Path, hidden: int) -> None:
        super().__init__()
        card = json.loads((folder / "heads.json").read_text())
        projector, teachers = ProjectorConfig(**card["projector"]), card["teachers"]
        self.heads = nn.ModuleDict({r: make_projector(hidden, t["width"], projector) for r, t in teachers.items()})
        self.frozen = nn.ModuleDict(
            {r: HEAD_KINDS[t["head"]["kind"]](**t["head"]["config"]) for r, t in teachers.items() if t["head"]}
        )
        self.teacher_specs = {r: ExpertSpec(**t["spec"]) if t["spec"] else None for r, t in teachers.items()}
        self.heads.load_state_dict(load_file(folder / "heads.safetensors"))
        self.frozen.load_state_dict(load_file(folder / "frozen.safetensors"))
        self.eval().requires_grad_(False)

    @property
    def nbytes(self) -> int:
        """Bytes of all weights."""
        return sum(tensor.nbytes for tensor in self.state_dict().values())

    def predict(self, role: str, h_think: Tensor, row_lengths: Tensor) -> Tensor:
        """P_k on packed block states (P, D) -> (P, E), as in training."""
        return CoatModel.predict(cast("CoatModel", self), role, h_think, row_lengths)

    def frozen_head(self, role: str) -> FrozenHead | None:
        """The teacher's own last layer, where there is one."""
        return CoatModel.frozen_head(cast("CoatModel", self), role)

    def view(self, h_think: Tensor, sounding: int, columns: int) -> dict[str, dict[str, Any]]:
        """Each head's view of one answer's block (P, D) as plain data, in at most *columns* columns in time.

        Only the first *sounding* positions are shown: the rest thinks on in the silence that filled the clip up.
        """
        readings = read_block(cast("CoatModel", self), h_think, sounding)  # reads heads, specs and these two methods
        return {role: self._plain(reading, columns) for role, reading in readings.items()}

    def _plain(self, reading: Reading, columns: int) -> dict[str, Any]:
        values, labels = reading.values.float().cpu(), list(reading.labels)
        axis = "class"
        if isinstance(self.frozen_head(reading.role), ContourHead):
            values, labels, axis = *_semitones(values, labels), "note"
        per_column = -(-len(values) // columns)
        values_TC = torch.stack([part.mean(0) for part in values.split(per_column)])
        strongest = values_TC.max(0).values.topk(min(MOST_LINES, len(labels))).indices.sort().values
        return {
            "expert": reading.expert,
            "summary": reading.summary,
            "unit": "probability",
            "axes": ["time", axis],
            "time": {
                "unit": "s",
                "first_center": round(BLOCK_FIRST_CENTER + SECONDS_PER_POSITION * (per_column - 1) / 2, 4),
                "step": round(SECONDS_PER_POSITION * per_column, 4),
                "positions_per_column": per_column,
                "columns": len(values_TC),
            },
            axis: [labels[i] for i in strongest.tolist()],
            "left_out": len(labels) - len(strongest),
            "values": [[round(v, 4) for v in row] for row in values_TC[:, strongest].tolist()],
        }


def _semitones(values: Tensor, labels: list[str]) -> tuple[Tensor, list[str]]:
    """The strongest bin of each semitone: bins 0-2 are A0, 3-5 A#0, … (``reading.CONTOUR_FIRST_MIDI``)."""
    values_PNB = values.unflatten(-1, (-1, CONTOUR_BINS_PER_SEMITONE))
    return values_PNB.max(-1).values, labels[1::CONTOUR_BINS_PER_SEMITONE]
