"""Adapters on the embedded base as a job would have left them, with random weights, and the models that they are."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.hosted import spread
from coat_ray.config import BackboneConfig, LoraSection, ProjectorConfig
from coat_ray.inference.requests import AdapterSource, Request, Sampling
from coat_ray.model.backbones.base import Backbone
from coat_ray.model.coat import CoatModel, Teacher
from coat_ray.model.losses import FocalSettings

CONFIG = BackboneConfig()
QUESTION = "<audio>\nwhat sound is heard?"


def make_model(
    base: Backbone, rank: int, seed: int, *, block: bool = True, specs: dict[str, Any] | None = None
) -> CoatModel:
    """An adapter on a copy of *base*, its LoRA and token rows so large that each adapter answers differently."""
    torch.manual_seed(seed)
    teachers = {role: Teacher.of(*facts) for role, facts in (specs or {}).items()}
    lora = LoraSection(rank=rank, alpha=2 * rank)
    copied = copy.deepcopy(base)
    return spread(CoatModel(copied, lora, ProjectorConfig(), teachers, FocalSettings(), block=block).eval())


def save(model: CoatModel, folder: Path, key: str) -> AdapterSource:
    """As the registry would hand it out."""
    model.save_adapter(folder / key)
    return AdapterSource(key, folder / key)


def clip(seed: int) -> np.ndarray:
    """One to three seconds of noise, mono at 16 kHz; the embedded base fills the shorter ones up to 2.4 s."""
    seconds = 1 + seed % 3
    return (0.1 * np.random.default_rng(seed).standard_normal(int(16_000 * seconds))).astype(np.float32)


def ask(adapter: AdapterSource | None = None, about: int = 0, text: str = QUESTION, **more: Any) -> Request:
    """A request about clip number *about*; sampling's fields may be given by name."""
    sampling = {k: more.pop(k) for k in Sampling.__dataclass_fields__ if k in more}
    clips = more.pop("clips", [clip(about)] if "<audio>" in text else [])
    return Request([{"role": "user", "content": text}], clips, adapter, sampling=Sampling(**sampling), **more)
