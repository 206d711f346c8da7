"""Teachers by name. Adding one: a file with a class that has ``load``, and a line here."""

from __future__ import annotations

import difflib
import importlib
from typing import TYPE_CHECKING

from coat_ray.config import ExpertConfig

if TYPE_CHECKING:
    import torch

    from coat_ray.experts.base import Expert

EXPERTS: dict[str, str] = {
    "spidr": "coat_ray.experts.spidr:Spidr",
    "panns": "coat_ray.experts.panns:Panns",
    "emotion2vec": "coat_ray.experts.emotion2vec:Emotion2vec",
    "basic_pitch": "coat_ray.experts.basic_pitch:BasicPitch",
}


def load_expert(config: ExpertConfig, device: torch.device | str = "cpu") -> Expert:
    """The teacher that *config* describes, ready to encode on *device*.

    Raises:
        ValueError: an unknown name (its nearest neighbour is named), unusable weights, or a layer out of range.
    """
    if config.model not in EXPERTS:
        near = difflib.get_close_matches(config.model, EXPERTS, n=1, cutoff=0.4)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"no expert named {config.model!r}; there are {', '.join(EXPERTS)}{hint}")
    module, _, name = EXPERTS[config.model].partition(":")
    expert: Expert = getattr(importlib.import_module(module), name).load(config.weights, config.layer)
    return expert.to(device)
