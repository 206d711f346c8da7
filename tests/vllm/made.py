"""The embedded base as a folder, made to talk on, and adapters on it."""

from __future__ import annotations

from pathlib import Path

import torch

from coat_ray.config import BackboneConfig
from coat_ray.inference.requests import AdapterSource
from coat_ray.model.backbones import load_backbone
from coat_ray.model.export import export_merged
from tests.inference.made import make_model, save


def make_base(folder: Path) -> BackboneConfig:
    """A base whose answers do not end at once, as random adapters would make them."""
    base = load_backbone(BackboneConfig())
    with torch.no_grad():
        base.lm_head.weight[base.front.end_of_turn_id] = 0
    base.hf.save_pretrained(folder)
    base.front.save(folder)
    return BackboneConfig(weights=str(folder))


def make_adapters(config: BackboneConfig, folder: Path, ranks: tuple[int, ...]) -> list[AdapterSource]:
    """Adapter i has rank ``ranks[i]`` and a block."""
    base = load_backbone(config).eval()
    return [save(make_model(base, rank, seed), folder, f"a{seed}") for seed, rank in enumerate(ranks)]


def merge(config: BackboneConfig, rank: int, seed: int, folder: Path) -> None:
    """An exported model that is adapter number *seed* on the base."""
    export_merged(make_model(load_backbone(config).eval(), rank, seed), folder)
