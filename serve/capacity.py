"""What the scheduler shares out: what the Ray cluster has, less what Ray Serve's replicas hold."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from coat_ray.tenancy.scheduling.demand import Resources

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 10.0
"""Replicas come and go slowly; what the cluster has is looked up each time."""

Details = Mapping[str, Any]


class Capacity:
    """What is there for runs now, nodes and replicas that came and went included.

    Args:
        cluster: what Ray has, by name: ``ray.cluster_resources``.
        details: Serve's account of itself: ``ServeSubmissionClient.get_serve_details``. Where it fails, what was known
            before counts.
    """

    def __init__(
        self,
        cluster: Callable[[], Mapping[str, float]],
        details: Callable[[], Details],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster, self._details, self._clock = cluster, details, clock
        self._held, self._looked = Resources(0, 0), -LOOK_EVERY_S

    def __call__(self) -> Resources:
        """CPUs and GPUs."""
        if self._clock() >= self._looked + LOOK_EVERY_S:
            self._looked = self._clock()
            try:
                self._held = held(self._details())
            except Exception:
                logger.exception("Ray Serve does not say what its replicas hold; the last answer counts")
        found, gone = self._cluster(), self._held
        return Resources(max(0.0, found.get("CPU", 0.0) - gone.cpus), max(0.0, found.get("GPU", 0.0) - gone.gpus))


def held(details: Details) -> Resources:
    """What all replicas of all applications hold."""
    each = list(_replicas(details))
    return Resources(sum(one.get("CPU", 0.0) for one in each), sum(one.get("GPU", 0.0) for one in each))


def _replicas(details: Details) -> Iterator[Mapping[str, float]]:
    for application in details["applications"].values():
        for deployment in application["deployments"].values():
            config = deployment["deployment_config"]
            for _ in deployment["replicas"]:
                if bundles := config.get("placement_group_bundles"):
                    yield from bundles
                else:
                    options = config.get("ray_actor_options") or {}
                    yield {"CPU": options.get("num_cpus", 1.0), "GPU": options.get("num_gpus") or 0.0}
