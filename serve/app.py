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
from ray.job_submission import JobSubmissionClient
from ray.serve import Application

from coat_ray.storage import Storage
from coat_ray.tenancy.database import Database
from coat_ray.tenancy.ledger import Ledger
from coat_ray.tenancy.scheduling.demand import Resources
from coat_ray.tenancy.storage_meter import measure_all
from serve.access import Platform
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
        ledger = Ledger(database, capacity)
        cluster = JobSubmissionClient()
        keep_doing(Dispatcher(ledger, storage, cluster, ROOT, options.url).step, LOOK_EVERY_S)
        keep_doing(partial(measure_all, database, storage), MEASURE_EVERY_S)
        return build_app(Platform(database, ledger, storage, cluster))

    deployment = ray_serve.deployment(
        name="platform", max_ongoing_requests=MAX_REQUESTS, ray_actor_options={"num_cpus": 0}
    )
    return deployment(ray_serve.ingress(build)(_Replica)).bind()


class _Replica:
    """What Serve wraps around the application."""


def capacity() -> Resources:
    """What the Ray cluster has now, nodes that came and went included."""
    found = ray.cluster_resources()
    return Resources(found.get("CPU", 0.0), found.get("GPU", 0.0))
