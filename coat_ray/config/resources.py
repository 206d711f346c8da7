"""What a run asks of the cluster."""

from __future__ import annotations

from pydantic import Field, model_validator

from coat_ray.config.section import Section


class PoolConfig(Section):
    """The actors of one expert while targets are made; what is left open comes from ``resources.encode_*``."""

    min_actors: int = Field(1, ge=1, description="always there; the pool grows from here while clips wait")
    max_actors: int | None = Field(None, ge=1, description="None: encode_actors, or min_actors where that is more")
    cpus: float | None = Field(None, ge=0, description="per actor; None: encode_cpus")
    gpus: float | None = Field(None, ge=0, description="per actor, a fraction shares a GPU; None: encode_gpus")

    @model_validator(mode="after")
    def _bounds_are_in_order(self) -> PoolConfig:
        if self.max_actors is not None and self.max_actors < self.min_actors:
            raise ValueError(f"max_actors is {self.max_actors}, fewer than min_actors ({self.min_actors})")
        return self


class ResourcesConfig(Section):
    """What a run asks of the cluster. Never part of a run's identity."""

    train_workers: int = Field(2, ge=1)
    cpus_per_worker: float = Field(1, gt=0)
    gpus_per_worker: float = Field(0, ge=0)
    encode_actors: int = Field(1, ge=1, description="actors (of each expert, at most) when targets are made")
    encode_cpus: float = Field(0.5, gt=0)
    encode_gpus: float = Field(0, ge=0)
    encode_shared: bool | None = Field(
        None,
        description="every encode actor decodes and hosts all experts; None: only without a GPU and encode_pools",
    )
    encode_pools: dict[str, PoolConfig] = Field(
        default_factory=dict, description="role -> actors of that expert, where experts have pools of their own"
    )
    encode_batch_seconds: float = Field(32, gt=0, description="audio in one call of an expert, padding included")
    stream_targets: bool = Field(
        False, description="experts run beside training and feed it, and nothing is stored; each worker has its own"
    )
    decode_tasks: int = Field(2, ge=1, description="decoding tasks at a time where experts have pools of their own")

    @model_validator(mode="after")
    def _pools_have_an_effect(self) -> ResourcesConfig:
        if self.encode_shared and self.encode_pools:
            raise ValueError("encode_pools has no effect with encode_shared=true: leave one of them out")
        return self
