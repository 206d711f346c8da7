"""A whole experiment."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from coat_ray.config.data import AugmentConfig, CorpusConfig, ExpertConfig
from coat_ray.config.resources import ResourcesConfig
from coat_ray.config.section import Section, suggest
from coat_ray.config.student import BackboneConfig, LoraSection, ProjectorConfig
from coat_ray.config.training import (
    BalanceConfig,
    DeepSpeedConfig,
    OptimConfig,
    StageConfig,
    TrackingConfig,
    TrainingConfig,
)

RECON = "recon"
"""Role of the reconstruction target: the backbone's own tower output, which the forward pass computes anyway."""

Arm = Literal["sft", "coat"]


class EvaluationConfig(Section):
    """Held-out evaluation after training."""

    compare: bool = Field(True, description="compare base and arms when training is over")
    max_rows_per_task: int | None = Field(None, ge=1)
    disturbed_rows_per_task: int | None = Field(50, ge=1, description="questions asked of each disturbed block")
    batch_rows: int = Field(64, ge=1)
    max_new_tokens: int = Field(48, ge=1)


class RunConfig(Section):
    """A whole experiment: corpus, teachers, student, stages. One arm of it makes one run."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")
    seed: int = Field(0, ge=0)
    arms: tuple[Arm, ...] = Field(("coat",), min_length=1, description="sft: same rows and steps, no block, no experts")
    backbone: BackboneConfig = BackboneConfig()
    lora: LoraSection = LoraSection()
    projector: ProjectorConfig = ProjectorConfig()
    corpus: CorpusConfig = CorpusConfig()
    experts: dict[str, ExpertConfig] = Field(default_factory=dict, description="role -> teacher")
    stages: tuple[StageConfig, ...] = Field(min_length=1)
    balance: BalanceConfig = BalanceConfig()
    optim: OptimConfig = OptimConfig()
    training: TrainingConfig = TrainingConfig()
    augment: AugmentConfig = AugmentConfig()
    deepspeed: DeepSpeedConfig = DeepSpeedConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    tracking: TrackingConfig = TrackingConfig()
    resources: ResourcesConfig = ResourcesConfig()

    @model_validator(mode="after")
    def _weights_have_an_expert(self) -> RunConfig:
        if RECON in self.experts:
            raise ValueError(
                f"{RECON!r} is the backbone's own tower and takes no entry under experts; "
                f"a codec goes beside it under a role of its own"
            )
        known = {RECON, *self.experts}
        for stage in self.stages:
            for role in stage.weights:
                if role not in known:
                    raise ValueError(
                        f"stage {stage.name!r} weights {role!r}, which is neither {RECON!r} nor one of experts "
                        f"{sorted(self.experts)}{suggest(role, known)}"
                    )
        return self

    @model_validator(mode="after")
    def _compiles_whole_layers(self) -> RunConfig:
        if self.training.compile_layers and self.deepspeed.zero_stage == 3:
            raise ValueError("training.compile_layers does not go with deepspeed.zero_stage=3: leave one of them out")
        return self

    @model_validator(mode="after")
    def _pools_have_an_expert(self) -> RunConfig:
        known = set(self.experts)
        for role in self.resources.encode_pools:
            if role not in known:
                raise ValueError(f"resources.encode_pools names {role!r}, which is no expert{suggest(role, known)}")
        return self

    @model_validator(mode="after")
    def _names_are_unique(self) -> RunConfig:
        names = [stage.name for stage in self.stages]
        for kind, values in (("stage", names), ("arm", self.arms)):
            if len(set(values)) < len(values):
                raise ValueError(f"each {kind} once; found {', '.join(values)}")
        return self

    @property
    def total_steps(self) -> int:
        """Optimiser steps over all stages."""
        return sum(stage.steps for stage in self.stages)
