"""Real sound files for the targets' tests."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

MakeClip = Callable[..., str]


@pytest.fixture
def make_clip(tmp_path: Path) -> MakeClip:
    """Write a WAV file of a tone and give back its path."""
    folder = tmp_path / "clips"
    folder.mkdir()

    def make(name: str, seconds: float = 0.5, hertz: float = 440.0, peak: float = 0.5, rate: int = 32_000) -> str:
        time = np.arange(int(seconds * rate)) / rate
        soundfile.write(folder / name, peak * np.sin(2 * np.pi * hertz * time), rate)
        return str(folder / name)

    return make
