"""Run one teacher on one clip and say what it gave: the quickest way to see that weights work on this machine."""

from __future__ import annotations

import json
import time
import zipfile
from dataclasses import asdict, dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np

from coat_ray.audio import load_audio
from coat_ray.corpus.builtin import BUILTIN
from coat_ray.experts.base import Expert

CORPUS = "soundworld-mini"


@dataclass(frozen=True)
class Check:
    """What came out. ``seconds`` is the clip's length, ``cost`` seconds of computing per second of audio."""

    name: str
    fingerprint: str
    clip: str
    seconds: float
    frames: int
    width: int
    rate: float
    first_center: float
    finite: bool
    cost: float

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def check(expert: Expert, wave: np.ndarray, clip: str) -> Check:
    """Encode a mono clip (n,) at the teacher's rate twice and time the second call, which no longer warms up.

    Raises:
        ValueError: a clip that the teacher refuses.
    """
    spec = expert.spec
    expert.encode([wave])
    started = time.perf_counter()
    (frames,) = expert.encode([wave])
    spent = time.perf_counter() - started
    seconds = len(wave) / spec.sample_rate
    return Check(
        name=spec.name,
        fingerprint=expert.fingerprint,
        clip=clip,
        seconds=seconds,
        frames=len(frames),
        width=frames.shape[1],
        rate=spec.rate,
        first_center=spec.first_center,
        finite=bool(np.isfinite(frames).all()),
        cost=spent / seconds,
    )


def builtin_clip() -> tuple[str, bytes]:
    """Name and encoded bytes of the longest test clip that ships with the package."""
    package, archive = BUILTIN[CORPUS]
    with as_file(files(package).joinpath(archive)) as path, zipfile.ZipFile(path) as content:
        rows = [json.loads(line) for line in content.read("test.jsonl").splitlines()]
        longest = max((row for row in rows if row.get("audios")), key=lambda row: row["seconds"])
        name = longest["audios"][0]
        return f"{CORPUS}/{name}", content.read(name)


def load_clip(path: Path | None, sample_rate: int) -> tuple[str, np.ndarray]:
    """Name and mono signal at *sample_rate* Hz of a file, or of the built-in clip where *path* is None.

    Raises:
        AudioError: a file that cannot be used.
    """
    name, source = (str(path), path) if path is not None else builtin_clip()
    return name, load_audio(source, sample_rate)
