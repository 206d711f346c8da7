"""What ``args`` of the application ``models`` in ``serve/config.yaml`` may say."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

from coat_ray.config import BackboneConfig
from coat_ray.inference.engines import EngineName, Limits
from coat_ray.inference.limits import EngineLimits
from coat_ray.inference.vllm.limits import VllmLimits
from serve.openai.limits import ServingLimits


class HostingOptions(BaseModel):
    """Which base is hosted, and within which bounds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backbone: BackboneConfig = BackboneConfig()
    engine: EngineName = Field("transformers", description="of each replica; vllm runs in .venv-vllm, see docs/vllm.md")
    engine_limits: EngineLimits = Field(EngineLimits(), description="of each replica with engine: transformers")
    vllm_limits: VllmLimits = Field(VllmLimits(), description="of each replica with engine: vllm")
    limits: ServingLimits = Field(ServingLimits(), description="of each request")
    pieces_seconds: float = Field(
        0.1, ge=0, description="pieces of a stream after the first are sent together for so long; 0: each by itself"
    )
    engines: int = Field(1, ge=1, description="replicas of the engine, unless its deployment has an autoscaling_config")
    pinned: tuple[str, ...] = Field((), description="TENANT/ALIAS: adapters that stay in memory, whatever it means")

    @property
    def base(self) -> str:
        """The base's name in metrics."""
        return f"{self.backbone.family}/{self.backbone.weights}"

    @property
    def chosen_limits(self) -> Limits:
        """Limits of the engine that is chosen."""
        return self.engine_limits if self.engine == "transformers" else self.vllm_limits

    @model_validator(mode="after")
    def _all_of_it_has_an_effect(self) -> HostingOptions:
        other = {"transformers": "vllm_limits", "vllm": "engine_limits"}[self.engine]
        if other in self.model_fields_set:
            raise ValueError(f"{other} has no effect with engine: {self.engine}; leave it out")
        if self.pinned and self.engine == "vllm":
            raise ValueError("adapters cannot be pinned with engine: vllm; leave pinned out")
        return self
