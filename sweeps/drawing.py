"""Pictures of a sweep, as PNGs in memory. Needs matplotlib (the extra ``draw``)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from coat_ray.evaluation.reports.figures import LONGEST_LABEL, new_figure, picture, plain
from coat_ray.evaluation.reports.page import Picture
from sweeps.estimates import PointResult, pareto_front, ranking
from sweeps.importance import Importance, choice, numeric, varied
from sweeps.record import Objective
from sweeps.results import TrialResult
from sweeps.tables import number, unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

Steps = Sequence[tuple[int, float]]
"""(step, value) of a curve."""

MOST_POINTS = 30
"""Points in the picture of scores."""
MOST_COLOURS = 10
END_COLOURS = {"done": "C0", "stopped": "C1", "failed": "C3"}
"""Of curves, where there are too many points for a colour each."""
END_MARKS = {"stopped": "x", "failed": "v"}
ZERO_GAP = 0.15
"""Part of a logarithmic axis that lies below its smallest number, for a zero at the end."""


def draw_scores(points: Sequence[PointResult], objective: Objective) -> Picture | None:
    """Mean and interval of each point, with a dot per seed; None where nothing has a score."""
    scored = [point for point in points if point.estimate][:MOST_POINTS]
    if not scored:
        return None
    figure, (axes,) = new_figure(8, 1.2 + 0.32 * len(scored))
    scale = _scale(objective)
    for row, point in enumerate(scored):
        found = point.estimate
        assert found is not None
        if found.interval:
            axes.plot([scale * found.interval.low, scale * found.interval.high], [row, row], color="C0", lw=2)
        axes.plot(scale * found.mean, row, marker="D" if point.finished else "x", color="C0", ms=7)
        seeds = [*point.finished.values()]
        axes.plot([scale * value for value in seeds], [row] * len(seeds), "o", color="0.35", ms=3.5, alpha=0.8)
    axes.set_yticks(range(len(scored)), [plain(point.label) for point in scored])
    axes.invert_yaxis()
    axes.set(xlabel=plain(unit(objective)))
    axes.grid(axis="x", alpha=0.3)
    alt = f"{unit(objective)} of {len(scored)} points with 95 % intervals over seeds, as in the table of points"
    return picture("scores", "Score of each point: mean (diamond), 95 % interval, seeds (dots)", alt, figure)


def draw_curves(results: Sequence[TrialResult], objective: Objective) -> Picture | None:
    """The objective and the training loss over the steps of every trial, a panel each; None without a curve.

    A cross ends what was stopped. Losses of trials with different weights measure different things.
    """
    panels = _curve_panels(results, objective)
    drawn = {trial.trial: trial for curves in panels.values() for trial, _ in curves}
    if not drawn:
        return None
    labels = list(dict.fromkeys(trial.variant or trial.point for trial in drawn.values()))
    few = len(labels) <= MOST_COLOURS
    figure, axes = new_figure(6.5 * len(panels), 4.5, panels=len(panels))
    handles = {}
    for panel, (label, curves) in zip(axes, panels.items(), strict=True):
        for trial, curve in curves:
            name = trial.variant or trial.point
            colour = f"C{labels.index(name)}" if few else END_COLOURS[trial.state]
            handles[name] = _draw_curve(panel, trial, curve, colour)
        panel.set(xlabel="step", ylabel=plain(label))
        panel.grid(alpha=0.3)
    if few:
        corner: Any = "lower right" if objective.better(1.0) else "upper right"
        axes[0].legend([*handles.values()], [plain(name) for name in handles], loc=corner, fontsize="small")
    stopped = sum(trial.state == "stopped" for trial in drawn.values())
    alt = f"{' and '.join(panels)} over the steps of {len(drawn)} trials, of which {stopped} end early with a cross"
    return picture("curves", "Learning curves: a cross ends what was stopped, a triangle what failed", alt, figure)


def _curve_panels(results: Sequence[TrialResult], objective: Objective) -> dict[str, list[tuple[TrialResult, Steps]]]:
    """What there is to draw of the objective, scaled, and of the training loss: label -> curves."""
    scale = _scale(objective)
    panels: dict[str, list[tuple[TrialResult, Steps]]] = {
        unit(objective): [(t, [(step, scale * value) for step, value in t.curve]) for t in results if t.curve],
        "training loss": [(t, t.losses) for t in results if t.losses],
    }
    return {label: curves for label, curves in panels.items() if curves}


def _draw_curve(panel: Axes, trial: TrialResult, curve: Steps, colour: str) -> Line2D:
    steps, values = zip(*curve, strict=True)
    if trial.state in END_MARKS:
        panel.plot(steps[-1], values[-1], marker=END_MARKS[trial.state], color=colour, ms=8, mew=2, ls="")
    width = 1.3 if trial.state == "done" else 0.9
    return panel.plot(steps, values, marker="o" if len(steps) == 1 else "", ms=4, color=colour, lw=width, alpha=0.85)[0]


def draw_parallel(points: Sequence[PointResult], objective: Objective) -> Picture | None:
    """Every point as a line through its parameters to its score, darker for better; None where nothing varies."""
    scored = [point for point in ranking(points, objective) if point.estimate][::-1]  # the best is drawn last, on top
    columns = varied(scored)
    if not columns:
        return None
    scores = [_scale(objective) * point.estimate.mean for point in scored if point.estimate]
    axes_places = [*(axis_places(values) for values in columns.values()), axis_places(scores, log=False)]
    figure, (axes,) = new_figure(max(7.0, 1.7 * len(axes_places)), 4.8)
    shades = _shades([objective.rank(score) for score in scores])
    for row, point in enumerate(scored):
        heights = [places[row] for places, _ in axes_places]
        line = "-" if point.finished else ":"
        axes.plot(range(len(heights)), heights, line, color=shades[row], lw=1.2 + 1.6 * (row == len(scored) - 1))
    for column, (_, ticks) in enumerate(axes_places):
        axes.axvline(column, color="0.4", lw=0.8)
        for height, text in ticks:
            axes.text(column + 0.02, height, plain(text), fontsize=8, va="center", bbox=_BACKGROUND)
    heads = [_head(name) for name in columns] + [plain(unit(objective))]
    axes.set_xticks(range(len(heads)), heads, rotation=20, ha="right", fontsize=9)
    axes.set_yticks([])
    axes.set_xlim(-0.1, len(heads) - 0.6)
    axes.set_frame_on(False)
    alt = f"Parallel coordinates of {len(scored)} points over {', '.join(columns)} and {unit(objective)}"
    return picture("parallel", "Darker is better, the best is thick, stopped ones are dotted", alt, figure)


def draw_importance(found: Sequence[Importance]) -> Picture | None:
    """A bar per parameter with a mark at what chance would give; None where there is none."""
    if not found:
        return None
    figure, (axes,) = new_figure(7, 1.2 + 0.38 * len(found))
    rows = range(len(found))
    axes.barh(rows, [i.share for i in found], color=["C0" if i.readable else "0.7" for i in found])
    axes.plot([i.chance for i in found], list(rows), "|", color="black", ms=16, mew=2)
    axes.set_yticks(rows, [plain(i.param, 40) for i in found])
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xlabel="share of the variance in ranks; | chance")
    alt = f"Share of the variance that each of {len(found)} parameters explains, beside chance"
    return picture("importance", "Importance: grey is not more than chance", alt, figure)


def draw_cost(points: Sequence[PointResult], objective: Objective) -> Picture | None:
    """Score against the time of a step, with the front that no point beats; None where no step was timed."""
    placed = [point for point in points if point.finished and point.estimate and point.step_seconds is not None]
    if not placed:
        return None
    figure, (axes,) = new_figure(7, 4.5)
    front, scale = pareto_front(placed, objective), _scale(objective)
    for group, style in ((placed, "o"), (front, "D-")):
        heights = [scale * point.estimate.mean for point in group if point.estimate]
        axes.plot([p.step_seconds or 0.0 for p in group], heights, style, color="0.6" if style == "o" else "C1")
    for point in front[:MOST_COLOURS]:
        place = (point.step_seconds or 0.0, scale * point.estimate.mean if point.estimate else 0.0)
        axes.annotate(plain(point.label), place, xytext=(5, 5), textcoords="offset points", fontsize=8)
    axes.set(xlabel="median time of a step in s", ylabel=plain(unit(objective)))
    axes.grid(alpha=0.3)
    alt = f"{unit(objective)} against the time of a step for {len(placed)} points, {len(front)} of them on the front"
    return picture("cost", "Score against cost: the line joins points that no other beats in both", alt, figure)


def axis_places(values: Sequence[Any], *, log: bool = True) -> tuple[list[float], list[tuple[float, str]]]:
    """Height of each value on an axis from 0 to 1, and ticks (height, text).

    Numbers that span a decade stand on a logarithmic axis, with zeros at its foot; other numbers on a linear one;
    anything else on evenly spaced places.
    """
    if not numeric(values):
        names = sorted({choice(value) for value in values})
        place = {name: n / max(1, len(names) - 1) for n, name in enumerate(names)}
        return [place[choice(value)] for value in values], [(height, name) for name, height in place.items()]
    positive = [value for value in values if value > 0]
    if log and min(values) >= 0 and positive and max(positive) >= 10 * min(positive):
        foot = ZERO_GAP if len(positive) < len(values) else 0.0
        low, high = math.log(min(positive)), math.log(max(positive))

        def height(value: float) -> float:
            return foot + (1 - foot) * (math.log(value) - low) / (high - low) if value > 0 else 0.0

        marks = [min(positive), math.exp((low + high) / 2), max(positive), *([0.0] if foot else [])]
    else:
        lowest, span = min(values), max(values) - min(values)

        def height(value: float) -> float:
            return (value - lowest) / span if span else 0.5

        marks = [lowest, lowest + span / 2, lowest + span] if span else [lowest]
    return [height(value) for value in values], [(height(mark), number(mark)) for mark in marks]


_BACKGROUND = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.75}


def _shades(ranks: Sequence[float]) -> list[Any]:
    """A colour for each rank, dark for the best (smallest)."""
    from matplotlib import colormaps  # noqa: PLC0415 - an extra

    low, span = min(ranks), (max(ranks) - min(ranks)) or 1.0
    return [colormaps["viridis"](0.92 * (rank - low) / span) for rank in ranks]


def _scale(objective: Objective) -> float:
    return 100.0 if objective.percent else 1.0


def _head(name: str) -> str:
    """The end of a dotted key, which says most."""
    return plain(name if len(name) <= LONGEST_LABEL else "…" + name[-LONGEST_LABEL:])
