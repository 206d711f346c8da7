"""Figures as PNGs, in memory or in a file, drawn by matplotlib (the extra ``draw``)."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path
from typing import TYPE_CHECKING

from coat_ray.evaluation.reports.page import Picture
from coat_ray.experts.drawing import INSTALL, DrawingError
from coat_ray.storage import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 110
LONGEST_LABEL = 28


def can_draw() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def blank_figure(width: float, height: float) -> Figure:
    """An empty figure of that many inches; no window, no global state.

    Raises:
        DrawingError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise DrawingError(INSTALL) from error
    return Figure(figsize=(width, height), layout="constrained")


def new_figure(width: float, height: float, panels: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure of that many inches with panels side by side; raises as ``blank_figure``."""
    figure = blank_figure(width, height)
    return figure, [*figure.subplots(1, panels, squeeze=False)[0]]


def picture(name: str, title: str, alt: str, figure: Figure) -> Picture:
    """The figure as a PNG."""
    return Picture(name, title, alt, _png(figure))


def save_figure(figure: Figure, out: Path) -> None:
    """Write a figure as PNG; readers never see half of it."""
    atomic_write(out, _png(figure))


def _png(figure: Figure) -> bytes:
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=DPI)
    return image.getvalue()


def plain(text: str, longest: int = LONGEST_LABEL) -> str:
    """Text that matplotlib shows as it is: in one line, no formula between dollars, not hidden by an underscore."""
    line = " ".join(text.split())
    line = line if len(line) <= longest else line[: longest - 1] + "…"
    return f" {line}".replace("$", r"\$") if line.startswith("_") else line.replace("$", r"\$")
