"""Clips with the lengths of real recordings: SoundWorld's sounds, one after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from coat_ray.audio import load_audio
from coat_ray.corpus.builtin import corpus_folder
from coat_ray.corpus.manifest import read_manifest
from coat_ray.storage import Storage
from coat_ray.targets.plan import ClipRef

RATE = 16_000
MEDIAN_SECONDS, P90_SECONDS, LONGEST_SECONDS = 5.5, 15.0, 60.0
"""A length mix as in the usual training corpora of speech and sound: log-normal, bounded."""


def draw_lengths(total_seconds: float, seed: int = 0, longest: float = LONGEST_SECONDS) -> list[float]:
    """Lengths in seconds that add up to about *total_seconds*."""
    rng = np.random.default_rng(seed)
    sigma = math.log(P90_SECONDS / MEDIAN_SECONDS) / 1.2816
    lengths: list[float] = []
    while sum(lengths) < total_seconds:
        lengths.append(float(np.clip(rng.lognormal(math.log(MEDIAN_SECONDS), sigma), 0.5, longest)))
    return lengths


def make_clips(folder: Path, total_seconds: float, seed: int = 0) -> list[ClipRef]:
    """Write clips that add up to about *total_seconds*."""
    return write_clips(folder, draw_lengths(total_seconds, seed), seed)


def write_clips(folder: Path, lengths: Sequence[float], seed: int = 0) -> list[ClipRef]:
    """Write FLAC files at 16 kHz of these lengths in seconds; no two hold the same signal."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest = read_manifest(corpus_folder("soundworld-mini", Storage.default()) / "train.jsonl")
    uris = sorted({uri for row in manifest.rows for uri in row.audios})[:120]
    material = np.concatenate([load_audio(manifest.resolve(uri), RATE) for uri in uris])
    rng = np.random.default_rng(seed)
    clips = []
    for number, seconds in enumerate(lengths):
        start = int(rng.integers(len(material)))
        signal = np.roll(material, -start)[: round(seconds * RATE)] * rng.uniform(0.5, 1.0)
        path = folder / f"{number:05d}.flac"
        soundfile.write(path, signal, RATE)
        clips.append(ClipRef(str(path), seconds))
    return clips
