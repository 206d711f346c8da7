"""Models to host in measurements and tests: a base that talks on, random adapters on it, clips of noise."""

from __future__ import annotations

import base64
import copy
import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from safetensors.torch import load_file, save_file

from coat_ray.config import BackboneConfig, LoraSection, ProjectorConfig
from coat_ray.model.backbones import EMBEDDED, load_backbone
from coat_ray.model.coat import CoatModel
from coat_ray.model.losses import FocalSettings
from coat_ray.registry.licences import Ingredient
from coat_ray.registry.models import ModelRegistry
from coat_ray.storage import Storage

LM_HEAD = "language_model.lm_head.weight"
NOTE = Ingredient("base", "embedded", "Apache-2.0", commercial_use=True)
QUESTION = "what sound is heard?"
RATE = 16_000


def talkative_base(folder: Path) -> BackboneConfig:
    """The embedded base with its end of turn taken away, so that answers are as long as they may be."""
    plain = BackboneConfig()
    end = load_backbone(plain).front.end_of_turn_id
    shutil.copytree(EMBEDDED / plain.family, folder)
    weights = load_file(folder / "model.safetensors")
    weights[LM_HEAD][end] = 0
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return plain.model_copy(update={"weights": str(folder)})


def add_adapters(storage: Storage, tenant: str, names: dict[str, int], base: BackboneConfig, rank: int = 16) -> None:
    """Register adapters with random weights, name -> seed, so large that each answers differently."""
    backbone = load_backbone(base)
    registry = ModelRegistry(storage.tenant(tenant))
    for name, seed in names.items():
        folder = storage.root / "made" / tenant / name
        _random_adapter(backbone, rank, seed).save_adapter(folder)
        registry.add(name, folder, base=base.model_dump(), ingredients=[NOTE])


def _random_adapter(backbone: Any, rank: int, seed: int) -> CoatModel:
    torch.manual_seed(seed)
    lora = LoraSection(rank=rank, alpha=2 * rank)
    return spread(CoatModel(copy.deepcopy(backbone), lora, ProjectorConfig(), {}, FocalSettings(), block=True))


def spread(model: CoatModel) -> CoatModel:
    """Give LoRA and token rows random values so large that no two adapters answer alike."""
    with torch.no_grad():
        for group, members in model.trainable_parameters().items():
            for name, parameter in members:
                if group == "tokens" or (group == "lora" and "lora_B" in name):
                    parameter.normal_(std=0.3 if group == "tokens" else 0.1)
    return model


def noise(seed: int, seconds: float) -> np.ndarray:
    """Mono float32 at 16 kHz."""
    return (0.1 * np.random.default_rng(seed).standard_normal(int(RATE * seconds))).astype(np.float32)


def about(signal: np.ndarray, text: str = QUESTION) -> list[dict[str, Any]]:
    """One user's turn about a clip, as clients of OpenAI's API write it."""
    file = io.BytesIO()
    soundfile.write(file, signal, RATE, format="WAV", subtype="FLOAT")
    data = base64.b64encode(file.getvalue()).decode()
    heard = {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
    return [{"role": "user", "content": [heard, {"type": "text", "text": text}]}]
