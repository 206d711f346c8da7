"""How far student and teacher say the same about one clip: one figure per expert, and what it measures.

Shapes: P block positions, C classes or bins, E width, M mel bands.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from coat_ray.model.reading import CONTOUR_BINS_PER_SEMITONE, VOICED

SAME_CLASS = "share of positions with the same strongest class"
SAME_NOTE = "share of positions with the same note, where the teacher hears one"
SAME_SHAPE = "correlation of the two frame-to-frame similarity matrices"
SAME_MEL = "correlation over time and frequency"


def same_class(student_PC: Tensor, teacher_PC: Tensor) -> dict[str, Any]:
    """Of probabilities per class."""
    return _figure(SAME_CLASS, float((student_PC.argmax(-1) == teacher_PC.argmax(-1)).float().mean()))


def same_note(student_PC: Tensor, teacher_PC: Tensor) -> dict[str, Any]:
    """Of pitch contours; no value where the teacher hears no note."""
    peak_P, bins_P = teacher_PC.max(-1)
    voiced_P = peak_P > VOICED
    if not voiced_P.any():
        return _figure(SAME_NOTE, None)
    notes = [b // CONTOUR_BINS_PER_SEMITONE for b in (student_PC.argmax(-1)[voiced_P], bins_P[voiced_P])]
    return _figure(SAME_NOTE, float((notes[0] == notes[1]).float().mean()))


def same_shape(student_PE: Tensor, teacher_PE: Tensor) -> dict[str, Any]:
    """Of representations, whose dimensions mean nothing by themselves: which moments are like which others."""
    both = [similarity(z) for z in (student_PE, teacher_PE)]
    upper = torch.triu_indices(len(student_PE), len(student_PE), 1)
    return _figure(SAME_SHAPE, _correlation(*(matrix[upper[0], upper[1]] for matrix in both)))


def same_mel(student_PM: Tensor, teacher_PM: Tensor) -> dict[str, Any]:
    """Of the sound itself."""
    return _figure(SAME_MEL, _correlation(student_PM.flatten(), teacher_PM.flatten()))


def similarity(z_PE: Tensor) -> Tensor:
    """Cosine similarity (P, P) of every two moments, after the clip's mean is taken off."""
    centred = torch.nn.functional.normalize(z_PE - z_PE.mean(0), dim=-1)
    return centred @ centred.T


def _correlation(first: Tensor, second: Tensor) -> float | None:
    if len(first) < 2 or not (first.std() > 0 and second.std() > 0):
        return None
    return float(torch.corrcoef(torch.stack([first, second]))[0, 1])


def _figure(measure: str, value: float | None) -> dict[str, Any]:
    return {"measure": measure, "value": None if value is None else round(value, 3)}
