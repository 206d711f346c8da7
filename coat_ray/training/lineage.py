"""What a trained adapter was made from, and under which licences."""

from __future__ import annotations

from collections.abc import Iterable

from coat_ray.config import BackboneConfig
from coat_ray.corpus.manifest import Row
from coat_ray.experts.base import ExpertSpec
from coat_ray.registry.licences import NOT_STATED, Ingredient, is_commercial

BASES = {
    "embedded": ("Apache-2.0", True),
    "Qwen/Qwen2-Audio-7B-Instruct": ("Apache-2.0", True),
    "Qwen/Qwen2.5-Omni-7B": ("Apache-2.0", True),
    "nvidia/audio-flamingo-3-hf": ("NVIDIA OneWay Noncommercial", False),
}
"""Licence of each known base and whether it allows commercial use."""


def ingredients(
    backbone: BackboneConfig, corpus: str, rows: Iterable[Row], experts: Iterable[ExpertSpec]
) -> list[Ingredient]:
    """Base, corpus (once for each licence in it) and experts. What states no licence counts as non-commercial."""
    licence, commercial = BASES.get(backbone.weights, (NOT_STATED, False))
    found = [Ingredient("base", backbone.weights, licence, commercial)]
    stated = sorted({row.licence or NOT_STATED for row in rows})
    found += [Ingredient("corpus", corpus, name, is_commercial(name)) for name in stated]
    found += [Ingredient("expert", spec.name, spec.licence, spec.commercial_use) for spec in experts]
    return found
