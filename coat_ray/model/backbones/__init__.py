"""Backbone families, one file each, and how to load one."""

from __future__ import annotations

import importlib
from pathlib import Path

import torch

from coat_ray.config import BackboneConfig
from coat_ray.model.backbones.base import Backbone

FAMILIES = {"qwen2_audio": "coat_ray.model.backbones.qwen2_audio:Qwen2AudioBackbone"}
EMBEDDED = Path(__file__).parent / "embedded"


def load_backbone(config: BackboneConfig) -> Backbone:
    """Load the backbone that the configuration names, in its dtype.

    Raises:
        ValueError: unknown family.
        OSError: the weights are neither a folder nor to be had from the hub.
    """
    if config.family not in FAMILIES:
        raise ValueError(f"backbone.family {config.family!r} is not one of {sorted(FAMILIES)}")
    module, name = FAMILIES[config.family].split(":")
    weights = EMBEDDED / config.family if config.weights == "embedded" else config.weights
    return getattr(importlib.import_module(module), name).load(weights, getattr(torch, config.dtype))
