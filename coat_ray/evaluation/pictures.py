"""Figures as PNG files, with matplotlib where it is installed and without its global state."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from coat_ray.experts.drawing import INSTALL, DrawingError
from coat_ray.storage import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of that many inches.

    Raises:
        DrawingError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise DrawingError(INSTALL) from error
    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Figure, out: Path) -> None:
    """Write a figure as PNG; readers never see half of it."""
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=110)
    atomic_write(out, image.getvalue())
