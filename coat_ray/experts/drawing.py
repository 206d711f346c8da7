"""Draw what the teachers hear in a clip: one figure, one time axis in seconds, a panel per view.

Every teacher but the tagger and the pitch teacher shows its activations; a frozen head adds what it reads in them: the
strongest classes by name, or the pitch contour with note names.

Shapes: L frames, E expert width, C classes, K drawn classes.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import librosa
import numpy as np
import torch

from coat_ray.audio import load_audio
from coat_ray.experts.base import ContourHead, Expert, ExpertSpec
from coat_ray.storage import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TOP_CLASSES = 8
MEL_RATE, MEL_HOP, MEL_BINS = 16_000, 160, 80
OCTAVE, FIRST_C = 36, 10
"""Contour bins per octave, and the bin of C1; bin 1 is A0."""
INSTALL = "drawing needs matplotlib: pip install 'coat-ray[draw]'"


class DrawingError(ValueError):
    """A figure that cannot be made; the message says what to do."""


@dataclass(frozen=True)
class Panel:
    """An image over time: rows (K, L) from the bottom up, names of some rows, times of the frames' edges in seconds."""

    title: str
    rows: np.ndarray
    ticks: dict[int, str]
    start: float
    stop: float
    top: float | None = None
    """Value of the brightest colour; None: the largest that occurs."""


def draw(clip: Path, experts: Sequence[Expert], out: Path) -> list[Panel]:
    """Draw a clip as its teachers hear it into a PNG; gives the panels.

    Raises:
        AudioError: a clip that cannot be used.
        ValueError: a teacher refuses the clip.
        DrawingError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise DrawingError(INSTALL) from error
    wave = load_audio(clip, MEL_RATE)
    panels = [mel_panel(wave)]
    for expert in experts:
        panels += panels_of(expert, load_audio(clip, expert.spec.sample_rate))
    figure = Figure(figsize=(11, 1.2 + 1.7 * len(panels)), layout="constrained")
    figure.suptitle(clip.name)
    axes: list[Axes] = list(figure.subplots(len(panels) + 1, 1, sharex=True, squeeze=False)[:, 0])
    _draw_wave(axes[0], wave)
    for ax, panel in zip(axes[1:], panels, strict=True):
        _draw_panel(ax, panel)
    axes[-1].set_xlabel("seconds")
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=110)
    atomic_write(out, image.getvalue())
    return panels


def mel_panel(wave: np.ndarray) -> Panel:
    """Log-mel spectrogram of a signal at 16 kHz, in dB below its loudest bin, ticks in Hz."""
    mel = librosa.feature.melspectrogram(y=wave, sr=MEL_RATE, n_fft=400, hop_length=MEL_HOP, n_mels=MEL_BINS)
    hertz = librosa.mel_frequencies(MEL_BINS, fmax=MEL_RATE / 2)
    ticks = {int(np.abs(hertz - f).argmin()): f"{f} Hz" for f in (250, 1000, 4000)}
    half = MEL_HOP / MEL_RATE / 2
    stop = mel.shape[1] * MEL_HOP / MEL_RATE - half
    return Panel("log-mel (dB)", librosa.power_to_db(mel, ref=np.max, top_db=80.0), ticks, -half, stop)


@torch.inference_mode()
def panels_of(expert: Expert, wave: np.ndarray) -> list[Panel]:
    """The views of one teacher on a signal (n,) at its rate."""
    (frames,) = expert.encode([wave])
    spec, head = expert.spec, expert.head
    panels = [] if head is not None and spec.loss != "mse" else [_activations(spec, frames)]
    if head is None:
        return panels
    logits = head(torch.from_numpy(frames).to(next(head.parameters()).device)).float().cpu()
    if isinstance(head, ContourHead):
        values = logits.sigmoid().numpy()
        notes = {bin_: f"C{n}" for n, bin_ in enumerate(range(FIRST_C, values.shape[1], OCTAVE), start=1)}
        return [*panels, _panel(spec, "pitch contour", values, notes, top=1.0)]
    values = (logits.sigmoid() if spec.loss == "bce" else logits.softmax(-1)).numpy()
    strongest = values.max(0).argsort()[::-1][:TOP_CLASSES][::-1]
    named = {place: spec.labels[index] for place, index in enumerate(strongest)}
    return [*panels, _panel(spec, "strongest classes", values[:, strongest], named, top=1.0)]


def _activations(spec: ExpertSpec, frames: np.ndarray) -> Panel:
    """All E channels, each with mean 0 and variance 1 over the clip, as distance from its mean."""
    scaled = (frames - frames.mean(0)) / (frames.std(0) + 1e-6)
    return _panel(spec, f"activations of {spec.width} channels", np.abs(scaled), {}, top=3.0)


def _panel(spec: ExpertSpec, what: str, values: np.ndarray, ticks: dict[int, str], top: float) -> Panel:
    start = spec.first_center - 0.5 / spec.rate
    return Panel(f"{spec.name}: {what}", values.T, ticks, start, start + len(values) / spec.rate, top)


def _draw_wave(ax: Axes, wave: np.ndarray) -> None:
    ax.plot(np.arange(len(wave)) / MEL_RATE, wave, linewidth=0.4, color="black")
    ax.set_title("waveform", loc="left", fontsize=9)
    ax.set_yticks([])
    ax.set_xlim(0, len(wave) / MEL_RATE)


def _draw_panel(ax: Axes, panel: Panel) -> None:
    options: dict[str, Any] = {} if panel.top is None else {"vmin": 0.0, "vmax": panel.top}
    extent = (panel.start, panel.stop, -0.5, len(panel.rows) - 0.5)
    ax.imshow(
        panel.rows, origin="lower", aspect="auto", interpolation="nearest", extent=extent, cmap="magma", **options
    )
    ax.set_title(panel.title, loc="left", fontsize=9)
    ax.set_yticks(list(panel.ticks), list(panel.ticks.values()), fontsize=7)
