"""Sizes of an emotion2vec network, stated or read off a checkpoint: base is 768 wide, plus large 1024."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from coat_ray.experts.weights import WeightsError

AUDIO = "modality_encoders.AUDIO."


@dataclass(frozen=True)
class Emotion2vecConfig:
    """Sizes of the network; the defaults are the official base model."""

    conv_dim: int = 512
    embed_dim: int = 768
    num_heads: int = 12
    prenet_depth: int = 4
    depth: int = 8
    pos_groups: int = 16
    pos_kernel: int = 19
    pos_depth: int = 5
    num_extra_tokens: int = 10


OFFICIAL = Emotion2vecConfig()
EMBEDDED = Emotion2vecConfig(conv_dim=64, embed_dim=64, num_heads=4, prenet_depth=1, depth=2)


def sizes_of(state: Mapping[str, Tensor]) -> Emotion2vecConfig:
    """The sizes that a state dict was made with, so that every published size loads strictly.

    Raises:
        WeightsError: a key from which a size is read is missing, or of another rank.
    """
    try:
        width, per_group, kernel = state[f"{AUDIO}relative_positional_encoder.1.0.weight"].shape
        return Emotion2vecConfig(
            conv_dim=state[f"{AUDIO}local_encoder.conv_layers.0.0.weight"].shape[0],
            embed_dim=width,
            num_heads=state[f"{AUDIO}alibi_scale"].shape[2],
            prenet_depth=_count(state, rf"{re.escape(AUDIO)}context_encoder\.blocks\.(\d+)\."),
            depth=_count(state, r"blocks\.(\d+)\."),
            pos_groups=width // per_group,
            pos_kernel=kernel,
            pos_depth=_count(state, rf"{re.escape(AUDIO)}relative_positional_encoder\.(\d+)\."),
            num_extra_tokens=state[f"{AUDIO}extra_tokens"].shape[1],
        )
    except KeyError as error:
        raise WeightsError(f"these weights are not of emotion2vec: they have no {error.args[0]}") from error
    except (ValueError, IndexError) as error:
        raise WeightsError(f"these weights are not of emotion2vec: a tensor has another rank ({error})") from error


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    """How many different numbers stand at the group of *pattern* in the keys."""
    return len({found.group(1) for key in state if (found := re.match(pattern, key))})
