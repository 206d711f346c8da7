"""How many actors experts get while targets are made, and what each of them takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from coat_ray.config import PoolConfig, ResourcesConfig

SERVICE_CPUS = 1.0
"""Ray Data's own tasks beside the pools, and Ray Train's controller."""


@dataclass(frozen=True)
class Pool:
    """Size and resources of one pool, nothing left open."""

    min_actors: int
    max_actors: int
    cpus: float
    gpus: float


def is_shared(wanted: ResourcesConfig) -> bool:
    """Whether every actor decodes and hosts all experts."""
    return not (wanted.encode_gpus or wanted.encode_pools) if wanted.encode_shared is None else wanted.encode_shared


def pools_of(wanted: ResourcesConfig, roles: Sequence[str]) -> list[Pool]:
    """The one pool of all experts, or the pool of each role."""
    if is_shared(wanted):
        return [Pool(wanted.encode_actors, wanted.encode_actors, wanted.encode_cpus, wanted.encode_gpus)]
    stated = [wanted.encode_pools.get(role, PoolConfig()) for role in roles]
    return [
        Pool(
            min_actors=pool.min_actors,
            max_actors=pool.max_actors or max(pool.min_actors, wanted.encode_actors),
            cpus=wanted.encode_cpus if pool.cpus is None else pool.cpus,
            gpus=wanted.encode_gpus if pool.gpus is None else pool.gpus,
        )
        for pool in stated
    ]


def most_of(wanted: ResourcesConfig, roles: Sequence[str]) -> tuple[float, float]:
    """CPUs and GPUs of all pools at their largest and of the tasks that decode for them."""
    pools = pools_of(wanted, roles)
    decoding = 0.0 if is_shared(wanted) else wanted.decode_tasks * wanted.encode_cpus
    cpus = decoding + sum(pool.max_actors * pool.cpus for pool in pools)
    return cpus, sum(pool.max_actors * pool.gpus for pool in pools)
