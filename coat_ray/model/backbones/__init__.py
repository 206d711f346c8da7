"""Backbone families, one file each, and how to load one."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers.utils import logging

from coat_ray.config import BackboneConfig
from coat_ray.model.backbones.base import Backbone

FAMILIES = {
    "qwen2_audio": "coat_ray.model.backbones.qwen2_audio:Qwen2AudioBackbone",
    "qwen2_5_omni": "coat_ray.model.backbones.qwen2_5_omni:Qwen2_5OmniBackbone",
    "audio_flamingo_3": "coat_ray.model.backbones.audio_flamingo_3:AudioFlamingo3Backbone",
}
EMBEDDED = Path(__file__).parent / "embedded"
EXPORT_FACTS = "export.json"
"""Marks a folder that ``model/export.py`` wrote."""


def load_backbone(config: BackboneConfig) -> Backbone:
    """Load the backbone that the configuration names, in its dtype.

    Raises:
        ValueError: unknown family, or an exported model, whose trained block rows would be made anew.
        OSError: the weights are neither a folder nor to be had from the hub.
    """
    family = _family(config)
    if (Path(config.weights) / EXPORT_FACTS).exists():
        raise ValueError(
            f"backbone.weights: {config.weights} is an exported model, and opening it as a base would make its block's "
            f"rows anew; give the base that it was trained on, or run its own ask.py"
        )
    dtype = getattr(torch, config.dtype)
    if config.weights != "embedded":
        return family.load(config.weights, dtype)
    with _no_progress_bar():
        return family.load(weights_of(config), dtype)


def outline_backbone(config: BackboneConfig) -> Backbone:
    """The front end and the shapes of the backbone that the configuration names, an exported one too; no weights.

    Raises:
        ValueError: unknown family.
        OSError: the weights are neither a folder nor to be had from the hub.
    """
    return _family(config).outline(weights_of(config))


def weights_of(config: BackboneConfig) -> str | Path:
    """The folder or the hub id of a backbone's weights."""
    return EMBEDDED / config.family if config.weights == "embedded" else config.weights


def _family(config: BackboneConfig) -> type[Backbone]:
    if config.family not in FAMILIES:
        raise ValueError(f"backbone.family {config.family!r} is not one of {sorted(FAMILIES)}")
    module, name = FAMILIES[config.family].split(":")
    return getattr(importlib.import_module(module), name)


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    """Three megabytes load at once; a bar for them is noise."""
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.enable_progress_bar()
