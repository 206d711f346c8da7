"""The parts of the benchmark that do not depend on the clock."""

from __future__ import annotations

import statistics
from pathlib import Path

import numpy as np
import pytest

from benchmarks.clips import draw_lengths, make_clips
from benchmarks.targets import padding
from coat_ray.audio import clip_id, load_audio


def test_little_of_a_batch_is_padding() -> None:
    (line,) = padding(Path(), 0.0)
    assert float(line.value) >= 0.95


def test_lengths_are_those_of_real_recordings() -> None:
    lengths = draw_lengths(36_000)
    assert sum(lengths) == pytest.approx(36_000, abs=60)
    assert statistics.median(lengths) == pytest.approx(5.5, rel=0.1)
    assert np.quantile(lengths, 0.9) == pytest.approx(15, rel=0.1)


def test_no_two_clips_hold_the_same_signal(tmp_path: Path) -> None:
    clips = make_clips(tmp_path, 60.0)
    assert sum(clip.seconds or 0 for clip in clips) == pytest.approx(60, abs=60)
    assert len({clip_id(load_audio(clip.uri, 16_000)) for clip in clips}) == len(clips)
