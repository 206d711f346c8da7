"""Hosted models on Ray Serve: ``models`` in ``serve/config.yaml``.

Two deployments. ``models`` is the door: keys, limits, bodies, decoding of clips; a crafted file that breaks a decoder
ends a door, not an engine. ``engine`` holds the base and the adapters, one copy a replica.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from ray import serve as ray_serve
from ray.serve import Application

from coat_ray.storage import Storage
from coat_ray.tenancy.database import Database
from coat_ray.tenancy.ledger import Ledger
from coat_ray.tenancy.scheduling.demand import Resources
from serve.access import Platform
from serve.hosting.metrics import AnswerMetrics
from serve.hosting.options import HostingOptions
from serve.hosting.remote import RemoteEngine
from serve.hosting.replica import EngineReplica
from serve.openai.app import build_app
from serve.openai.serving import Serving
from serve.prefixes import WholePaths

ENGINE, DOOR = "engine", "models"
MAX_REQUESTS = 256
"""Requests that one door works on at once, most of which wait for the engine."""

DRAIN_S = 120
"""How long a replica that goes may still answer what it has."""


def models(arguments: dict[str, Any]) -> Application:
    """The application that ``serve/config.yaml`` names, with the ``args`` that stand there.

    Raises:
        ValidationError: anything but :class:`HostingOptions`.
    """
    options = HostingOptions.model_validate(arguments)
    replica = ray_serve.deployment(
        name=ENGINE,
        num_replicas=options.engines,
        max_ongoing_requests=options.chosen_limits.rows + options.chosen_limits.waiting,
        max_queued_requests=options.chosen_limits.waiting,
        graceful_shutdown_timeout_s=DRAIN_S,
        ray_actor_options={"num_cpus": 0},
    )
    door = ray_serve.deployment(
        name=DOOR,
        max_ongoing_requests=MAX_REQUESTS,
        graceful_shutdown_timeout_s=DRAIN_S,
        ray_actor_options={"num_cpus": 0},
    )

    def build() -> WholePaths:  # Serve takes functions only
        return WholePaths(_application(options))

    return door(ray_serve.ingress(build)(_Door)).bind(replica(EngineReplica).bind(options))


def _application(options: HostingOptions) -> FastAPI:
    """The door's application."""
    storage = Storage.default()
    database = Database.open(storage_root=storage.root)
    platform = Platform(database, Ledger(database, lambda: Resources(0, 0)), storage)
    engine = RemoteEngine(ray_serve.get_deployment_handle(ENGINE), AnswerMetrics(options.base))
    serving = Serving(platform, engine, options.backbone, options.limits)
    return build_app(serving, engine.start)


class _Door:
    """What Serve wraps around the application; the engine is here because it is bound."""

    def __init__(self, _engine: object) -> None:
        """Nothing to do: the application asks for the handle itself."""
