"""What stands in a block, or what the teachers themselves hear, as plain data that is small enough to send.

Shapes: P block positions, E expert width, C classes or bins, M mel bands, T columns in time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from coat_ray.config import RECON
from coat_ray.experts.base import HEAD_KINDS, ContourHead, ExpertSpec, FrozenHead
from coat_ray.inference import agreement
from coat_ray.inference.mel_map import band_centers
from coat_ray.model.reading import CONTOUR_BINS_PER_SEMITONE, SECONDS_PER_POSITION, Reading, read_features
from coat_ray.targets.align import BLOCK_FIRST_CENTER

MOST_LINES = 16
"""Classes or notes in a view: the ones with the highest peaks."""

Features = Mapping[str, Tensor]
"""Role -> features (P, E) on the block's grid; under ``recon`` a log-mel (P, M) in dB."""

Views = Mapping[str, Mapping[str, Any]]
"""Role -> a view as :class:`Readers` makes it."""


class Readers(nn.Module):
    """The teachers of one adapter: their facts, and their frozen last layers that read features as probabilities."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        card = json.loads((folder / "heads.json").read_text())
        teachers = card["teachers"]
        self.frozen = nn.ModuleDict(
            {r: HEAD_KINDS[t["head"]["kind"]](**t["head"]["config"]) for r, t in teachers.items() if t["head"]}
        )
        self.specs = {r: ExpertSpec(**t["spec"]) for r, t in teachers.items() if t["spec"]}
        self.frozen.load_state_dict(load_file(folder / "frozen.safetensors"))
        self.eval().requires_grad_(False)

    def head(self, role: str) -> FrozenHead | None:
        """The teacher's own last layer, where there is one."""
        return cast("FrozenHead", self.frozen[role]) if role in self.frozen else None

    @torch.inference_mode()
    def views(self, seen: Features, columns: int, beside: Features | None = None) -> dict[str, dict[str, Any]]:
        """Each role in at most *columns* columns in time, with the classes that are strongest here or in *beside*."""
        return {role: self._view(role, z, columns, (beside or {}).get(role)) for role, z in seen.items() if len(z)}

    @torch.inference_mode()
    def compared(
        self, student: Features, teacher: Features, columns: int
    ) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
        """The views of both with the same classes, each teacher's with how far the student agrees with it."""
        heard = self.views({role: z for role, z in teacher.items() if role in student}, columns, student)
        for role, view in heard.items():
            view["agreement"] = self._agreement(role, student[role], teacher[role])
        return self.views(student, columns, teacher), heard

    def _view(self, role: str, z: Tensor, columns: int, other: Tensor | None) -> dict[str, Any]:
        per_column = -(-len(z) // columns)
        found: dict[str, Any] = {"time": _time(len(z), per_column)}
        if role == RECON:
            return _mel_view(z, per_column) | found
        spec, head = self.specs[role], self.head(role)
        found |= {"expert": spec.name, "summary": ""}
        if head is not None:
            readings = [read_features(role, spec, head, each) for each in (z, other) if each is not None]
            found |= _class_view(readings, per_column, pitch=isinstance(head, ContourHead))
        if spec.loss == "mse":  # a representation, which is more than a head reads in it
            found["similarity"] = _rounded(agreement.similarity(_columns(z, per_column)), 2)
        return found

    def _agreement(self, role: str, student: Tensor, teacher: Tensor) -> dict[str, Any]:
        if role == RECON:
            return agreement.same_mel(student, teacher)
        spec, head = self.specs[role], self.head(role)
        if head is None or role not in BY_CLASS:
            return agreement.same_shape(student, teacher)
        values = [read_features(role, spec, head, z).values for z in (student, teacher)]
        return agreement.same_note(*values) if isinstance(head, ContourHead) else agreement.same_class(*values)


BY_CLASS = ("sed", "paralinguistic", "pitch")
"""Roles whose classes say what the expert is for. Letters of a speech model are mostly blanks."""


def _time(positions: int, per_column: int) -> dict[str, Any]:
    return {
        "unit": "s",
        "first_center": round(BLOCK_FIRST_CENTER + SECONDS_PER_POSITION * (per_column - 1) / 2, 4),
        "step": round(SECONDS_PER_POSITION * per_column, 4),
        "positions_per_column": per_column,
        "columns": -(-positions // per_column),
    }


def _mel_view(mel_PM: Tensor, per_column: int) -> dict[str, Any]:
    return {
        "expert": "log-mel",
        "summary": "",
        "unit": "dB",
        "axes": ["time", "frequency"],
        "frequency": band_centers(),
        "values": _rounded(_columns(mel_PM, per_column), 1),
    }


def _class_view(readings: list[Reading], per_column: int, *, pitch: bool) -> dict[str, Any]:
    """The first reading, in the classes that are strongest in any of them."""
    shown, axis = [r.values.float().cpu() for r in readings], "class"
    labels = list(readings[0].labels)
    if pitch:
        axis, labels = "note", labels[1::CONTOUR_BINS_PER_SEMITONE]
        shown = [_semitones(values) for values in shown]
    columns_TC = [_columns(values, per_column) for values in shown]
    peaks = torch.stack([values.max(0).values for values in columns_TC]).max(0).values
    strongest = peaks.topk(min(MOST_LINES, len(labels))).indices.sort().values
    return {
        "summary": readings[0].summary,
        "unit": "probability",
        "axes": ["time", axis],
        axis: [labels[i] for i in strongest.tolist()],
        "left_out": len(labels) - len(strongest),
        "values": _rounded(columns_TC[0][:, strongest], 4),
    }


def _columns(values: Tensor, per_column: int) -> Tensor:
    """Means over each column's positions."""
    return torch.stack([part.mean(0) for part in values.float().cpu().split(per_column)])


def _semitones(values: Tensor) -> Tensor:
    """The strongest bin of each semitone: bins 0-2 are A0, 3-5 A#0, … (``reading.CONTOUR_FIRST_MIDI``)."""
    return values.unflatten(-1, (-1, CONTOUR_BINS_PER_SEMITONE)).max(-1).values


def _rounded(values: Tensor, digits: int) -> list[list[float]]:
    return [[round(value, digits) for value in row] for row in values.tolist()]
