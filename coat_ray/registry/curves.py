"""Curves of runs: what was logged over the steps, as text for a terminal and as a figure."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coat_ray.registry.metrics import expert_terms
from coat_ray.storage import atomic_write

DOT_ROWS, DOT_COLUMNS = 4, 2
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bits of a Braille character: rows from the top, columns from the left."""
BLANK = 0x2800
FIGURE_COLUMNS = 3


class CurvesError(ValueError):
    """A figure that cannot be made; the message says what to do."""


@dataclass(frozen=True)
class Curve:
    """One logged value over the steps at which it was logged."""

    steps: tuple[int, ...]
    values: tuple[float, ...]


def loss_curves(rows: Sequence[Mapping[str, Any]]) -> dict[str, Curve]:
    """Curves of the total, the cross-entropy and every expert's term, each where it was logged."""
    terms = [key for key in ("loss", "ce") if any(key in row for row in rows)]
    terms += sorted({key for row in rows for key in expert_terms(row)})
    found = {term: [(int(row["step"]), float(row[term])) for row in rows if term in row] for term in terms}
    return {term: Curve(*map(tuple, zip(*points, strict=True))) for term, points in found.items()}


def text_plot(curve: Curve, last_step: int, low: float, high: float, *, width: int = 24, height: int = 4) -> str:
    """A curve in Braille characters, *width* × *height* of them, two by four dots in each.

    Args:
        curve: what to draw.
        last_step: step at the right edge; the left edge is step 0.
        low: value at the lower edge.
        high: value at the upper edge.
        width: characters in a line.
        height: lines.
    """
    columns, rows = width * DOT_COLUMNS, height * DOT_ROWS
    cells = [[BLANK] * width for _ in range(height)]
    span = high - low or 1.0
    for step, value in zip(curve.steps, curve.values, strict=True):
        x = min(columns - 1, step * columns // max(1, last_step))
        y = min(rows - 1, max(0, round((high - value) / span * (rows - 1))))
        cells[y // DOT_ROWS][x // DOT_COLUMNS] |= DOTS[y % DOT_ROWS][x % DOT_COLUMNS]
    return "\n".join("".join(map(chr, line)) for line in cells)


def value_range(curves: Sequence[Curve]) -> tuple[float, float]:
    """Lowest and highest value of several curves that share an axis."""
    values = [value for curve in curves for value in curve.values]
    return min(values), max(values)


def draw_curves(runs: Mapping[str, Mapping[str, Curve]], out: Path) -> None:
    """Draw every term of several runs (label -> term -> curve) over each other into a PNG, a panel per term.

    Raises:
        CurvesError: matplotlib is not installed, or nothing has been logged yet.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - an extra
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        raise CurvesError("drawing needs matplotlib: pip install 'coat-ray[draw]'") from error
    terms = list(dict.fromkeys(term for curves in runs.values() for term in curves))
    if not terms:
        raise CurvesError("nothing has been logged yet; there is no curve to draw")
    lines = -(-len(terms) // FIGURE_COLUMNS)
    figure = Figure(figsize=(4.5 * FIGURE_COLUMNS, 3 * lines), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(lines, FIGURE_COLUMNS, squeeze=False).flatten()
    for panel, term in zip(panels, terms, strict=False):
        for number, (label, curves) in enumerate(runs.items()):
            if term in curves:
                panel.plot(curves[term].steps, curves[term].values, color=f"C{number}", label=label)
        panel.set(title=term, xlabel="step")
    for panel in panels[len(terms) :]:
        panel.remove()
    panels[0].legend(fontsize="small")
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=110)
    atomic_write(out, image.getvalue())
