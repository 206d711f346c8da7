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
    "emotion2vec_plus": "coat_ray.experts.emotion2vec_plus:Emotion2vecPlus",
    "basic_pitch": "coat_ray.experts.basic_pitch:BasicPitch",
    "sim_whisper": "coat_ray.experts.codec:SimWhisper",
}


def expert_class(name: str) -> type[Expert]:
    """The class behind a name.

    Raises:
        ValueError: an unknown name; its nearest neighbour is named.
    """
    if name not in EXPERTS:
        near = difflib.get_close_matches(name, EXPERTS, n=1, cutoff=0.4)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"no expert named {name!r}; there are {', '.join(EXPERTS)}{hint}")
    module, _, found = EXPERTS[name].partition(":")
    loaded: type[Expert] = getattr(importlib.import_module(module), found)
    return loaded


def load_expert(config: ExpertConfig, device: torch.device | str = "cpu") -> Expert:
    """The teacher that *config* describes, ready to encode on *device*.

    Raises:
        ValueError: an unknown name (its nearest neighbour is named), unusable weights, or a layer out of range.
    """
    return expert_class(config.model).load(config.weights, config.layer).to(device)
