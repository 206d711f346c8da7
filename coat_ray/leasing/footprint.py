"""What a run needs of a cluster at once, as its configuration says."""

from __future__ import annotations

from coat_ray.config import RunConfig
from coat_ray.targets.pools import decoding_cpus, pools_of
from coat_ray.tenancy.scheduling.demand import Resources

SERVICE_CPUS = 1.0
"""Ray Data's readers and writers, and Ray Train's controller."""


def resources_of(config: RunConfig) -> Resources:
    """CPUs and GPUs of the larger of its two phases (targets, training), or of both where targets are streamed."""
    wanted = config.resources
    workers = wanted.train_workers
    training = Resources(workers * wanted.cpus_per_worker, workers * wanted.gpus_per_worker)
    encoding = Resources()
    if config.experts:
        encoding = Resources(decoding_cpus(wanted))
        for pool in pools_of(wanted, sorted(config.experts)):
            encoding += Resources(pool.max_actors * pool.cpus, pool.max_actors * pool.gpus)
    if wanted.stream_targets:
        return training + encoding + Resources(SERVICE_CPUS)
    return Resources(max(training.cpus, encoding.cpus) + SERVICE_CPUS, max(training.gpus, encoding.gpus))
