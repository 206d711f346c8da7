"""The student: backbone, adapter, projection heads."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from coat_ray.config.section import Section


class BackboneConfig(Section):
    """The audio language model that is trained (the student)."""

    family: str = "qwen2_audio"
    weights: str = Field(
        "embedded", description='"embedded", a folder, or a hub id such as Qwen/Qwen2-Audio-7B-Instruct'
    )
    dtype: Literal["float32", "bfloat16"] = "float32"


class LoraSection(Section):
    """Low-rank adaptation of the language model only (paper: rank 16, alpha 32)."""

    rank: int = Field(16, ge=1)
    alpha: int = Field(32, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    target_modules: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class ProjectorConfig(Section):
    """Projection heads P_k from the block to each expert (paper 3.2: one Transformer block, then a linear map)."""

    kind: str = "transformer"
    num_heads: int = Field(4, ge=1)
    ffn_ratio: float = Field(2.0, gt=0)
