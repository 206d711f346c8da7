"""The paper's figure 4 for any clip: what the block rebuilds beside what the teachers hear, one row per expert.

The views are those of ``inference.views``, the same that the page draws. :func:`draw` is a pure function of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from coat_ray.audio import load_audio
from coat_ray.config import RECON, BackboneConfig
from coat_ray.evaluation.asking.answers import EvaluationError
from coat_ray.evaluation.reports.figures import blank_figure, save_figure
from coat_ray.inference.engine import Engine
from coat_ray.inference.requests import AdapterSource, Request
from coat_ray.inference.teachers import beside_teachers
from coat_ray.inference.views import BY_CLASS, Views
from coat_ray.model.backbones.base import AUDIO_MARK
from coat_ray.targets.listening import Listener

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROLES = (RECON, "speech", "sed", "paralinguistic", "pitch")
"""From the top of the figure down; roles of one's own come after these."""

NAMES = {RECON: "sound", "speech": "speech", "sed": "sound events", "paralinguistic": "affect", "pitch": "pitch"}
TICKS = 16
"""Names beside a panel, at most."""


@dataclass(frozen=True)
class Inside:
    """One answer with what stands in its block and what the teachers hear; both with the same lines and columns."""

    model: str
    clip: str
    answer: str
    student: Views
    teacher: Views

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "model": self.model,
            "clip": self.clip,
            "answer": self.answer,
            "student": dict(self.student),
            "teacher": dict(self.teacher),
        }


def look_inside(base: BackboneConfig, source: AdapterSource, clip: Path, *, question: str, columns: int) -> Inside:
    """Ask a model about a clip and read its block and, where they are at hand, its teachers.

    Args:
        base: what the adapter was trained on.
        source: the adapter.
        clip: an audio file; what the base does not hear of it is left out.
        question: what is asked; the block depends on it.
        columns: most columns in time.

    Raises:
        AudioError: the file cannot be used.
        EvaluationError: the model has no block.
        RequestRefused, AdapterRefused: the question or the adapter cannot be taken.
    """
    with Engine.open(base) as engine:
        signal = load_audio(clip, engine.front.sample_rate)[: engine.front.window_samples]
        messages = [{"role": "user", "content": f"{AUDIO_MARK}\n{question}"}]
        asked = Request(messages, [signal], source, thinking_columns=columns, features=True)
        result = engine.submit(asked).result()
    if not result.features:
        raise EvaluationError(f"{source.key} has no block to look into: it was trained without one, or without heads")
    student, teacher = beside_teachers(Listener(), source.folder, signal, result.features, columns)
    return Inside(source.key, clip.name, result.text, student, teacher)


def draw(student: Views, teacher: Views, out: Path, title: str = "") -> list[str]:
    """Draw both sides into a PNG, a row per role of *student*, the teacher on the left; gives the roles from the top.

    Raises:
        ValueError: nothing to draw.
        DrawingError: matplotlib is not installed.
    """
    roles = [role for role in (*ROLES, *sorted(set(student) - set(ROLES))) if role in student]
    if not roles:
        raise ValueError("the block shows nothing: no head of it has a reader")
    figure = blank_figure(12, 0.6 + 1.9 * len(roles))
    figure.suptitle(title, fontsize=10)
    grid = figure.subplots(len(roles), 2, squeeze=False)
    for (left, right), role in zip(grid, roles, strict=True):
        heard = teacher.get(role)
        name = NAMES.get(role, role)
        if heard is None:
            left.set_axis_off()
            left.set_title(f"{name}: its teacher is not at hand", loc="left", fontsize=8)
        else:
            _draw_view(left, role, heard)
            left.set_title(f"{name}: {_said(heard)}", loc="left", fontsize=8)
        _draw_view(right, role, student[role])
        right.set_title(f"block: {_said(student[role])}{_agreement(heard)}", loc="left", fontsize=8)
    for ax in grid[-1]:
        ax.set_xlabel("seconds", fontsize=8)
    save_figure(figure, out)
    return roles


def _draw_view(ax: Axes, role: str, view: Mapping[str, Any]) -> None:
    start = view["time"]["first_center"] - view["time"]["step"] / 2
    stop = start + view["time"]["step"] * view["time"]["columns"]
    ax.tick_params(labelsize=6)
    look: dict[str, Any] = {"origin": "lower", "aspect": "auto", "interpolation": "nearest"}
    if "values" not in view or (role not in BY_CLASS and "similarity" in view):
        square = (start, stop, start, stop)
        ax.imshow(np.asarray(view["similarity"]), extent=square, cmap="RdBu_r", vmin=-1, vmax=1, **look)
        return
    rows, names = np.asarray(view["values"]).T, view[view["axes"][1]]
    low, high = (-80, 0) if view["unit"] == "dB" else (0, 1)
    ax.imshow(rows, extent=(start, stop, -0.5, len(rows) - 0.5), cmap="magma", vmin=low, vmax=high, **look)
    shown = range(0, len(names), -(-len(names) // TICKS))
    ax.set_yticks(list(shown), [_name(names[i]) for i in shown])


def _name(label: str | float) -> str:
    return f"{label:.0f} Hz" if isinstance(label, float) else label


def _said(view: Mapping[str, Any]) -> str:
    """Expert and summary, in one line."""
    summary = view.get("summary", "")
    said = f"{view['expert']}, {summary}" if summary else view["expert"]
    return said if len(said) <= 55 else f"{said[:54]}…"


def _agreement(heard: Mapping[str, Any] | None) -> str:
    found = (heard or {}).get("agreement")
    if not found or found["value"] is None:
        return ""
    return f"\n{found['measure']}: {found['value']:.2f}"
