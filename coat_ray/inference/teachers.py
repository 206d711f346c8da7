"""What the teachers say beside an answer: their own view of the clip, and how far the block agrees with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from coat_ray.config import RECON
from coat_ray.inference.mel_map import log_mel
from coat_ray.inference.views import Readers, Views
from coat_ray.targets.listening import Listener


def beside_teachers(
    listener: Listener, folder: Path, signal: np.ndarray, features: Mapping[str, np.ndarray], columns: int
) -> tuple[Views, Views]:
    """Student's and teachers' views of one clip, in the same classes and columns.

    Args:
        listener: the teachers.
        folder: of the adapter that answered.
        signal: what it heard, mono float32 (n,) at 16 kHz.
        features: what its heads predicted of it, as ``Result.features`` has them.
        columns: most columns in time.
    """
    readers, length = Readers(folder), len(next(iter(features.values())))
    heard = listener.hear(readers.specs, signal, length)
    if RECON in features:
        heard[RECON] = log_mel(signal, length)
    student, teacher = ({role: torch.from_numpy(z) for role, z in seen.items()} for seen in (features, heard))
    return readers.compared(student, teacher, columns)
