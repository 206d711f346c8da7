"""What the scheduler shares out: what the Ray cluster has, less what Ray Serve's replicas hold."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from coat_ray.tenancy.scheduling.demand import Resources

LOOK_EVERY_S = 10.0
"""Replicas come and go slowly; what the cluster has is looked up each time."""

Details = Mapping[str, Any]


class Capacity:
    """What is there for runs now, nodes and replicas that came and went included.

    Decisions are made inside a transaction, so that nobody but :meth:`look` asks Serve, on a thread of its own.

    Args:
        cluster: what Ray has, by name: ``ray.cluster_resources``.
        details: Serve's account of itself: ``ServeSubmissionClient.get_serve_details``.
    """

    def __init__(
        self,
        cluster: Callable[[], Mapping[str, float]],
        details: Callable[[], Details],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster, self._details, self._clock = cluster, details, clock
        self._held: Resources | None = None
        self._looked = 0.0

    @property
    def known(self) -> bool:
        """Whether Serve has said what its replicas hold; until then nothing should be granted."""
        return self._held is not None

    def look(self) -> None:
        """Ask Serve, unless it was asked a moment ago; raises what asking raises, and what was known stays."""
        if self.known and self._clock() < self._looked + LOOK_EVERY_S:
            return
        self._held, self._looked = held(self._details()), self._clock()

    def __call__(self) -> Resources:
        """CPUs and GPUs."""
        found, gone = self._cluster(), self._held or Resources(0, 0)
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
