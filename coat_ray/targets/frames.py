"""How frames lie in a part file: float16 as they are, or int8 with a scale per channel of each clip.

Shapes: L frames, E expert width. Both give float16 (L, E) back.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

_HALF_MAX = float(np.finfo(np.float16).max)
_INT8_MAX = 127


class FrameCodec(ABC):
    """Turns frames into columns of a part file and back."""

    columns: tuple[str, ...]
    """Columns that :meth:`decode` needs."""

    @abstractmethod
    def encode(self, arrays: Sequence[np.ndarray]) -> dict[str, pa.Array]:
        """Columns that hold finite frames (L, E), one row each."""

    @abstractmethod
    def decode(self, row: Mapping[str, pa.Scalar], width: int) -> np.ndarray:
        """Frames float16 (L, E) of one row, an array of its own."""


class HalfCodec(FrameCodec):
    """``frames`` list<halffloat>: L * E values, frame by frame."""

    columns = ("frames",)

    def encode(self, arrays: Sequence[np.ndarray]) -> dict[str, pa.Array]:
        """One column."""
        return {"frames": _lists([array.astype(np.float16).ravel() for array in arrays])}

    def decode(self, row: Mapping[str, pa.Scalar], width: int) -> np.ndarray:
        """The values as they were written."""
        return row["frames"].values.to_numpy().reshape(-1, width).copy()


class Int8Codec(FrameCodec):
    """``frames`` list<int8>, ``scale`` list<float> (E), ``error`` float: value = frames * scale of its channel.

    ``error`` is the relative error of the clip, |x - decoded x| / |x| over all its values. A scale per channel loses
    less than one per frame with these teachers: channels differ in size more than moments do.
    """

    columns = ("frames", "scale")

    def encode(self, arrays: Sequence[np.ndarray]) -> dict[str, pa.Array]:
        """Three columns."""
        scales = [_scale(array) for array in arrays]
        levels = [np.rint(a / s).astype(np.int8) for a, s in zip(arrays, scales, strict=True)]
        errors = [
            _relative_error(array, _restored(level, scale))
            for array, level, scale in zip(arrays, levels, scales, strict=True)
        ]
        return {
            "frames": _lists([level.ravel() for level in levels]),
            "scale": _lists(scales),
            "error": pa.array(errors, pa.float32()),
        }

    def decode(self, row: Mapping[str, pa.Scalar], width: int) -> np.ndarray:
        """The nearest of 255 values per channel."""
        return _restored(row["frames"].values.to_numpy().reshape(-1, width), row["scale"].values.to_numpy())


CODECS: dict[str, FrameCodec] = {"float16": HalfCodec(), "int8": Int8Codec()}


def fits_half(frames: np.ndarray) -> bool:
    """Whether every value is finite in float16; NaN compares as false."""
    return not frames.size or bool(np.abs(frames).max() <= _HALF_MAX)


def checked(clip_id: str, frames: np.ndarray) -> np.ndarray:
    """*frames*, when they are (L, E) and finite in float16.

    Raises:
        ValueError: they are not.
    """
    if frames.ndim != 2:
        raise ValueError(f"clip {clip_id}: expected frames of shape (L, E), found {frames.shape}")
    if not fits_half(frames):
        raise ValueError(f"clip {clip_id}: frames hold values that are not finite in float16")
    return frames


def _scale(frames: np.ndarray) -> np.ndarray:
    """Float32 (E,): the largest value of each channel becomes 127; 1 for a channel that is silent."""
    largest = np.abs(frames.astype(np.float32)).max(axis=0, initial=0.0)
    return np.where(largest > 0, largest / _INT8_MAX, 1).astype(np.float32)


def _restored(levels: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return np.clip(levels * scale, -_HALF_MAX, _HALF_MAX).astype(np.float16)


def _relative_error(frames: np.ndarray, restored: np.ndarray) -> float:
    exact = frames.astype(np.float64)
    size = float(np.linalg.norm(exact))
    return float(np.linalg.norm(exact - restored)) / size if size else 0.0


def _lists(rows: Sequence[np.ndarray]) -> pa.Array:
    offsets = pa.array(np.cumsum([0, *map(len, rows)]), pa.int32())
    return pa.ListArray.from_arrays(offsets, pa.array(np.concatenate(rows)))
