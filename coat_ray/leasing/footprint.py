"""What a run needs of a cluster at once, as its configuration says: what its lease grants, and what bounds it.

Ray Train starts exactly ``train_workers`` workers with exactly these resources; Ray Data gets the rest as its limit.
"""

from __future__ import annotations

from collections.abc import Iterable

from coat_ray.config import RunConfig
from coat_ray.targets.pools import SERVICE_CPUS, most_of
from coat_ray.tenancy.scheduling.demand import Resources


def largest(configs: Iterable[RunConfig]) -> RunConfig:
    """The configuration that needs the most; more experts, for example, need more where targets are made."""
    return max(configs, key=_size)


def resources_of(config: RunConfig) -> Resources:
    """CPUs and GPUs of the larger of its two phases (targets, training), or of both where targets are streamed."""
    wanted = config.resources
    workers = wanted.train_workers
    training = Resources(workers * wanted.cpus_per_worker, workers * wanted.gpus_per_worker)
    encoding = Resources(*most_of(wanted, sorted(config.experts))) if config.experts else Resources()
    if wanted.stream_targets:  # each worker has experts of its own
        beside = encoding + Resources(SERVICE_CPUS)
        return training + Resources(workers * beside.cpus, workers * beside.gpus)
    return Resources(max(training.cpus, encoding.cpus) + SERVICE_CPUS, max(training.gpus, encoding.gpus))


def _size(config: RunConfig) -> tuple[float, float]:
    wanted = resources_of(config)
    return wanted.gpus, wanted.cpus
