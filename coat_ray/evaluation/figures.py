"""Figures as PNGs in memory, drawn by matplotlib (the extra ``draw``)."""

from __future__ import annotations

import importlib.util
import io
from typing import TYPE_CHECKING

from coat_ray.evaluation.page import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 110
LONGEST_LABEL = 28


def can_draw() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def new_figure(width: float, height: float, panels: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure of so many inches, with panels side by side; no window, no global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - an extra
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, [*figure.subplots(1, panels, squeeze=False)[0]]


def picture(name: str, title: str, alt: str, figure: Figure) -> Picture:
    """The figure as a PNG."""
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=DPI)
    return Picture(name, title, alt, image.getvalue())


def plain(text: str, longest: int = LONGEST_LABEL) -> str:
    """Text that matplotlib shows as it is: in one line, no formula between dollars, not hidden by an underscore."""
    line = " ".join(text.split())
    line = line if len(line) <= longest else line[: longest - 1] + "…"
    return f" {line}".replace("$", r"\$") if line.startswith("_") else line.replace("$", r"\$")
