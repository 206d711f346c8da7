"""Probes as tables and curves. Pure functions of scores; accuracies are in per cent with their 95 % interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coat_ray.evaluation.reports.figures import blank_figure, save_figure
from coat_ray.evaluation.reports.report import Table
from coat_ray.evaluation.studies.probes import Accuracy, Association, ProbeScore

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class ProbeRow:
    """One model's probe of one target at one state."""

    model: str
    target: str
    state: str
    score: ProbeScore
    control: Accuracy
    association: Association


@dataclass(frozen=True)
class CurvePoint:
    """The same at one step of a model's run; accuracy alone."""

    model: str
    step: int
    target: str
    state: str
    accuracy: Accuracy
    constant: float


PROBE_NOTES = (
    "fitted on clips of the training split, scored on clips of the test split, which share no voice, timbre or melody",
    "most frequent: always the class that is most frequent among the fitted clips",
    "random labels: the same probe on labels drawn at random, whose long-run accuracy is 1/K",
)
SUCCESS_NOTES = (
    "rho: Spearman's, between the probe's probability of the true class and the model's own answer being right",
    "-: the model was right, or wrong, on every clip",
)


def probe_table(rows: Sequence[ProbeRow]) -> Table:
    """The paper's table of models by targets, at both states."""
    columns = ("target", "state", "model", "n", "accuracy", "most frequent", "random labels", "1/K")
    cells = [
        (
            *(row.target, row.state, row.model, str(row.score.scored), cell(row.score.accuracy)),
            *(f"{100 * row.score.constant:.1f}", cell(row.control), f"{100 / row.score.classes:.1f}"),
        )
        for row in _sorted(rows)
    ]
    data = [_row_json(row) for row in rows]
    notes = [*PROBE_NOTES, _control_note(rows)]
    return Table("Linear probes, held-out accuracy in % [95 % interval]", columns, cells, notes, data)


def success_table(rows: Sequence[ProbeRow]) -> Table:
    """Whether models answer right where the probe is sure."""
    columns = ("target", "state", "model", "answers right (%)", "rho", "p")
    cells = []
    for row in _sorted(rows):
        found = row.association
        rho = ("-", "-") if found.rho is None or found.p is None else (f"{found.rho:+.2f}", f"{found.p:.2g}")
        cells.append((row.target, row.state, row.model, f"{100 * found.success:.1f}", *rho))
    data = [_place(row) | _association_json(row.association) for row in rows]
    return Table("Probe confidence and task success", columns, cells, SUCCESS_NOTES, data)


def curve_table(points: Sequence[CurvePoint]) -> Table:
    """Accuracy over the kept steps of each run."""
    columns = ("target", "state", "model", "step", "accuracy")
    ordered = sorted(points, key=lambda p: (p.target, p.state, p.model, p.step))
    rows = [(p.target, p.state, p.model, str(p.step), cell(p.accuracy)) for p in ordered]
    data = [_place(p) | {"step": p.step} | _accuracy_json(p.accuracy) for p in ordered]
    return Table("Linear probes over training, held-out accuracy in % [95 % interval]", columns, rows, data=data)


def plot(points: Sequence[CurvePoint], rows: Sequence[ProbeRow], out: Path) -> None:
    """Accuracy over steps, a panel per target: think solid, pre-generation dashed, the most frequent class dotted.

    Models without a curve are horizontal lines.

    Raises:
        DrawingError: matplotlib is not installed.
    """
    targets = list(dict.fromkeys(p.target for p in points))
    figure = blank_figure(4.2 * len(targets), 3.6)
    drawn = {p.model for p in points}
    for ax, target in zip(figure.subplots(1, len(targets), sharey=True, squeeze=False)[0], targets, strict=True):
        inside = [p for p in points if p.target == target]
        _draw_curves(ax, inside)
        for row in (row for row in rows if row.target == target and row.model not in drawn):
            level, label = row.score.accuracy.value, f"{row.model}, {row.state}"
            ax.axhline(level, linestyle=_style(row.state), color="black", label=label)
        ax.axhline(inside[0].constant, linestyle=":", color="grey", label="most frequent class")
        ax.set(title=target, xlabel="step", ylim=(0, 1))
    figure.axes[0].set_ylabel("probe accuracy")
    figure.axes[-1].legend(fontsize=7)
    save_figure(figure, out)


def _draw_curves(ax: Axes, points: Sequence[CurvePoint]) -> None:
    for number, (model, state) in enumerate(dict.fromkeys((p.model, p.state) for p in points)):
        line = sorted((p for p in points if (p.model, p.state) == (model, state)), key=lambda p: p.step)
        steps, color = [p.step for p in line], f"C{number}"
        values = [p.accuracy.value for p in line]
        ax.plot(steps, values, _style(state), color=color, marker=".", label=f"{model}, {state}")
        low, high = ([getattr(p.accuracy.interval, side) for p in line] for side in ("low", "high"))
        ax.fill_between(steps, low, high, color=color, alpha=0.12, linewidth=0)


def cell(accuracy: Accuracy) -> str:
    """Such as ``61.9 [51.2, 72.6]``."""
    low, high = accuracy.interval.low, accuracy.interval.high
    return f"{100 * accuracy.value:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def _control_note(rows: Sequence[ProbeRow]) -> str:
    bounds = [(row.control.interval, 1 / row.score.classes) for row in rows]
    inside = sum(interval.low <= chance <= interval.high for interval, chance in bounds)
    return f"{inside} of {len(rows)} intervals of random labels hold 1/K; by luck one in twenty does not"


def _style(state: str) -> str:
    return "-" if state == "think" else "--"


def _sorted(rows: Sequence[ProbeRow]) -> list[ProbeRow]:
    """Targets and states together, models in the order in which they were named."""
    order = list(dict.fromkeys((row.target, row.state) for row in rows))
    return sorted(rows, key=lambda row: order.index((row.target, row.state)))


def _place(row: ProbeRow | CurvePoint) -> dict[str, Any]:
    return {"model": row.model, "target": row.target, "state": row.state}


def _accuracy_json(accuracy: Accuracy) -> dict[str, float]:
    return {"accuracy": accuracy.value, "low": accuracy.interval.low, "high": accuracy.interval.high}


def _association_json(found: Association) -> dict[str, float | None]:
    return {"rho": found.rho, "p": found.p, "success": found.success}


def _row_json(row: ProbeRow) -> dict[str, Any]:
    score = row.score
    facts = {"classes": score.classes, "fitted": score.fitted, "scored": score.scored, "constant": score.constant}
    return _place(row) | facts | _accuracy_json(score.accuracy) | {"random_labels": _accuracy_json(row.control)}
