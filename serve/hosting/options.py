"""What ``args`` of the application ``models`` in ``serve/config.yaml`` may say."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from coat_ray.config import BackboneConfig
from coat_ray.inference.limits import EngineLimits
from serve.openai.limits import ServingLimits


class HostingOptions(BaseModel):
    """Which base is hosted, and within which bounds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backbone: BackboneConfig = BackboneConfig()
    engine: EngineLimits = Field(EngineLimits(), description="of each replica of the engine")
    limits: ServingLimits = Field(ServingLimits(), description="of each request")
    engines: int = Field(1, ge=1, description="replicas of the engine, unless its deployment has an autoscaling_config")
    pinned: tuple[str, ...] = Field((), description="TENANT/ALIAS: adapters that stay in memory, whatever it means")

    @property
    def base(self) -> str:
        """The base's name in metrics."""
        return f"{self.backbone.family}/{self.backbone.weights}"
