"""The platform on Ray Serve: ``serve deploy serve/config.yaml``, from the root of the repository.

`coat up` does the same on a Ray of its own. The replica holds nothing that matters: Serve starts it again when it dies,
and it goes on from the database. Several replicas decide one after the other, and each job is started once (`jobs.py`).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import ray
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field
from ray import serve as ray_serve
from ray.dashboard.modules.serve.sdk import ServeSubmissionClient
from ray.job_submission import JobSubmissionClient
from ray.serve import Application

from coat_ray.storage import Storage
from coat_ray.tenancy.database import Database
from coat_ray.tenancy.ledger import Ledger
from coat_ray.tenancy.storage_meter import measure_all
from serve.access import Platform
from serve.capacity import Capacity
from serve.jobs import Dispatcher
from serve.platform_api import build_app
from serve.rounds import LOOK_EVERY_S, MEASURE_EVERY_S, keep_doing

ROOT = Path(__file__).resolve().parent.parent
MAX_REQUESTS = 128
"""Requests that one replica works on at once; followed logs are among them."""


class Options(BaseModel):
    """What ``args`` in ``serve/config.yaml`` may say."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field("http://127.0.0.1:8000", description="where jobs, on any node, reach this platform")


def platform(arguments: dict[str, Any]) -> Application:
    """The application that ``serve/config.yaml`` names, with the ``args`` that stand there.

    Raises:
        ValidationError: anything but :class:`Options`.
    """
    options = Options.model_validate(arguments)

    def build() -> FastAPI:
        storage = Storage.default()
        database = Database.open(storage_root=storage.root)
        cluster = JobSubmissionClient()
        capacity = Capacity(ray.cluster_resources, ServeSubmissionClient(cluster.get_address()).get_serve_details)
        ledger = Ledger(database, capacity)
        dispatcher = Dispatcher(ledger, storage, cluster, ROOT, options.url)
        keep_doing(capacity.look, LOOK_EVERY_S)
        keep_doing(lambda: capacity.known and dispatcher.step(), LOOK_EVERY_S)
        keep_doing(partial(measure_all, database, storage), MEASURE_EVERY_S)
        return build_app(Platform(database, ledger, storage, cluster))

    deployment = ray_serve.deployment(
        name="platform", max_ongoing_requests=MAX_REQUESTS, ray_actor_options={"num_cpus": 0}
    )
    return deployment(ray_serve.ingress(build)(_Replica)).bind()


class _Replica:
    """What Serve wraps around the application."""
