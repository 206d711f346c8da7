"""Hosted models on a real Ray Serve: two replicas of the engine behind one door, two tenants with adapters."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import openai
import psutil
import pytest

from benchmarks.hosted import add_adapters, talkative_base
from coat_ray.config import BackboneConfig
from coat_ray.storage import Storage
from coat_ray.tenancy.database import Database
from coat_ray.tenancy.keys import create_key
from coat_ray.tenancy.roles import PLATFORM, Role
from coat_ray.tenancy.tenants import create_tenant

ADAPTERS = {"hosted-a": {"one": 1, "two": 2}, "hosted-b": {"one": 3}}
"""Tenant -> adapter -> seed."""


@dataclass
class Hosted:
    """Where the models answer, and as whom to ask."""

    url: str
    base: BackboneConfig
    storage: Storage
    keys: dict[str, str]

    def client(self, tenant: str = "hosted-a", retries: int = 0) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=self.keys[tenant], max_retries=retries, timeout=180)

    @staticmethod
    def engines() -> list[int]:
        """Processes that are replicas of the engine."""
        commands = ((process.pid, process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"]))
        return [pid for pid, command in commands if any("ServeReplica:models:engine" in part for part in command)]

    def kill_an_engine(self) -> None:
        os.kill(min(self.engines()), signal.SIGKILL)


@pytest.fixture(scope="module")
def hosted(ray_cluster: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosted]:
    from ray import serve as ray_serve

    from serve.hosting.app import models

    storage = Storage.default()  # replicas find it in the environment of the cluster
    base = talkative_base(tmp_path_factory.mktemp("base") / "talkative")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    database = Database.open(storage_root=storage.root)
    keys = {}
    with database.begin() as session:
        for tenant in ADAPTERS:
            create_tenant(session, tenant, actor=PLATFORM)
            keys[tenant] = create_key(session, role=Role.VIEWER, tenant=tenant, actor=PLATFORM).text
    database.close()
    for tenant, names in ADAPTERS.items():
        add_adapters(storage, tenant, names, base)
    ray_serve.start(http_options={"host": "127.0.0.1", "port": port})
    application = models({"backbone": base.model_dump(), "engine_limits": {"rows": 8, "waiting": 32}, "engines": 2})
    ray_serve.run(application, name="models", route_prefix="/v1")
    yield Hosted(f"http://127.0.0.1:{port}", base, storage, keys)
    ray_serve.shutdown()
