"""What the experts' heads read in a thinking block: probabilities over time, and the short text of them.

Shapes: P block positions of one answer, C classes or bins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from coat_ray.config import RECON
from coat_ray.experts.base import ContourHead, ExpertSpec, FrozenHead
from coat_ray.model.coat import CoatModel

NOTE_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
CONTOUR_BINS_PER_SEMITONE = 3
CONTOUR_FIRST_MIDI = 21  # bin 1 is A0; a semitone's centre lies at bins 1, 4, 7, … (FACTS: 440 Hz -> bin 145)
SECONDS_PER_POSITION = 0.04
VOICED = 0.3


@dataclass(frozen=True)
class Reading:
    """One expert's view: ``values`` (P, C) probabilities, the names of its C columns, and the view in words."""

    role: str
    expert: str
    labels: tuple[str, ...]
    values: Tensor
    summary: str

    def to_json(self) -> dict[str, object]:
        """Summary and strongest columns as plain data; the time step is in seconds."""
        means = self.values.mean(0)
        top = means.topk(min(5, len(means)))
        strongest = {self.labels[i]: round(float(v), 3) for v, i in zip(top.values, top.indices.tolist(), strict=True)}
        return {
            "expert": self.expert,
            "summary": self.summary,
            "strongest": strongest,
            "seconds_per_position": SECONDS_PER_POSITION,
            "positions": len(self.values),
        }


@torch.inference_mode()
def read_block(model: CoatModel, h_think: Tensor, sounding: int) -> dict[str, Reading]:
    """Read one answer's block (P, D) with every head that has a frozen head of its teacher behind it.

    Only the first *sounding* positions are shown: a model that fills short clips up thinks on in the silence.
    """
    readings: dict[str, Reading] = {}
    if len(h_think) == 0:
        return readings
    for role in model.heads:
        spec = model.teacher_specs[role]
        head = model.frozen_head(role)
        if role == RECON or head is None or spec is None:
            continue
        z_hat = model.predict(role, h_think, torch.tensor([len(h_think)]))
        readings[role] = read_features(role, spec, head, z_hat, sounding)
    return readings


@torch.inference_mode()
def read_features(
    role: str, spec: ExpertSpec, head: FrozenHead, z_PE: Tensor, sounding: int | None = None
) -> Reading:
    """What a teacher's frozen head reads in features on the block's grid, the student's or the teacher's own.

    Args:
        role: which expert.
        spec: its facts.
        head: its last layer.
        z_PE: features (P, E).
        sounding: how many positions are shown; None: all. The head still sees the others beside them.
    """
    logits = head(z_PE[None])[0, :sounding]
    pitch = isinstance(head, ContourHead)
    values = logits.sigmoid() if pitch or spec.loss == "bce" else logits.softmax(-1)
    labels = contour_labels(values.shape[1]) if pitch else tuple(spec.labels)
    summary = note_sequence(values) if pitch else SUMMARIES.get(role, _strongest)(values, labels)
    return Reading(role, spec.name, tuple(labels), values, summary)


def contour_labels(bins: int) -> tuple[str, ...]:
    """Note name of each contour bin (three bins a semitone)."""
    return tuple(note_name(bin_to_midi(i)) for i in range(bins))


def bin_to_midi(contour_bin: float) -> int:
    """Nearest MIDI note of a contour bin."""
    return round(CONTOUR_FIRST_MIDI + (contour_bin - 1) / CONTOUR_BINS_PER_SEMITONE)


def note_name(midi: int) -> str:
    """Scientific pitch notation: 69 -> A4."""
    return f"{NOTE_NAMES[midi % 12]}{midi // 12 - 1}"


def note_sequence(values: Tensor, shortest: int = 3) -> str:
    """The strongest note over time, runs shorter than ``shortest`` positions left out."""
    peak, bins = values.max(-1)
    notes = [bin_to_midi(b) if p > VOICED else None for p, b in zip(peak.tolist(), bins.tolist(), strict=True)]
    runs: list[tuple[int, int]] = []
    start = 0
    for i in range(1, len(notes) + 1):
        if i == len(notes) or notes[i] != notes[start]:
            if notes[start] is not None and i - start >= shortest:
                runs.append((start, notes[start]))  # type: ignore[arg-type]
            start = i
    return ", ".join(f"{note_name(n)} from {i * SECONDS_PER_POSITION:.2f} s" for i, n in runs) or "no clear pitch"


def _strongest(values: Tensor, labels: tuple[str, ...], threshold: float = 0.1) -> str:
    """Columns by their highest probability over time."""
    top = values.max(0).values.topk(min(4, values.shape[1]))
    named = [f"{labels[i]} {v:.0%}" for v, i in zip(top.values.tolist(), top.indices.tolist(), strict=True)]
    return ", ".join(n for n, v in zip(named, top.values.tolist(), strict=True) if v >= threshold) or "nothing clear"


def _average(values: Tensor, labels: tuple[str, ...]) -> str:
    """Columns by their mean probability."""
    top = values.mean(0).topk(min(4, values.shape[1]))
    return ", ".join(f"{labels[i]} {v:.0%}" for v, i in zip(top.values.tolist(), top.indices.tolist(), strict=True))


def _spelled(values: Tensor, labels: tuple[str, ...]) -> str:
    """Greedy CTC reading: repeats merged, column 0 (blank) dropped."""
    best = values.argmax(-1).tolist()
    merged = [b for i, b in enumerate(best) if b and (i == 0 or best[i - 1] != b)]
    return "".join(labels[b] for b in merged).strip() or "no speech"


SUMMARIES = {"speech": _spelled, "paralinguistic": _average, "sed": _strongest}


def describe(readings: Mapping[str, Reading]) -> list[tuple[str, str]]:
    """(what, in words) for each reading, in a fixed order."""
    return [(f"{role} ({readings[role].expert})", readings[role].summary) for role in sorted(readings)]
