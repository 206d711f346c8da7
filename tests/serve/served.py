"""The platform's API on a free port of this machine, in a thread, for whoever asks it over HTTP."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import uvicorn

from coat_ray.client import Client
from coat_ray.config import RunConfig
from coat_ray.leasing.footprint import resources_of
from coat_ray.storage import Storage
from coat_ray.tenancy.database import Database
from coat_ray.tenancy.keys import create_key
from coat_ray.tenancy.ledger import Ledger
from coat_ray.tenancy.roles import PLATFORM, Role
from coat_ray.tenancy.scheduling.demand import Resources
from coat_ray.tenancy.tenants import create_tenant
from serve.access import Platform
from serve.jobs import Cluster
from serve.platform_api import build_app

CONFIG = RunConfig.model_validate(
    {"name": "trial", "stages": [{"name": "one", "steps": 2}], "resources": {"train_workers": 2}}
)
ONE_RUN = resources_of(CONFIG)


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Service:
    """The API with room for one run; a key of a member of each of two tenants, of an admin, of the owner."""

    def __init__(self, folder: Path, cluster: Cluster | None = None) -> None:
        self.storage = Storage(folder)
        self.database = Database.open(storage_root=folder)
        self.keys: dict[str, str] = {}
        with self.database.begin() as session:
            for tenant in ("speech", "music"):
                create_tenant(session, tenant, actor=PLATFORM)
                self.keys[tenant] = create_key(session, role=Role.MEMBER, tenant=tenant, actor=PLATFORM).text
            self.keys["admin"] = create_key(session, role=Role.ADMIN, tenant="speech", actor=PLATFORM).text
            self.keys["owner"] = create_key(session, role=Role.OWNER, tenant=None, actor=PLATFORM).text
        self.room = 1
        self.ledger = Ledger(self.database, lambda: Resources(self.room * ONE_RUN.cpus, 0))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.app = build_app(Platform(self.database, self.ledger, self.storage, cluster))
        self.begin(port)

    def begin(self, port: int) -> None:
        """Answer on a port."""
        self.server = uvicorn.Server(uvicorn.Config(self.app, host="127.0.0.1", port=port, log_level="error"))
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        wait_until(lambda: self.server.started)

    def end(self) -> int:
        """Answer no more; gives the port."""
        self.server.should_exit = True
        self.thread.join()
        return int(self.url.rpartition(":")[2])

    def client(self, who: str) -> Client:
        return Client.open(self.url, self.keys[who])

    def states(self, who: str = "speech") -> list[str]:
        return [run["state"] for run in self.client(who).get("/runs")["data"]]

    def submit(self, who: str = "speech", config: RunConfig = CONFIG) -> str:
        return str(self.client(who).post("/runs", {"config": config.model_dump(mode="json")})["id"])

    def close(self) -> None:
        self.end()
        self.database.close()


class Printed:
    """A cluster that starts nothing; what its jobs print is put here."""

    def __init__(self) -> None:
        self.logs: dict[str, str] = {}

    def submit_job(self, *, entrypoint: str, submission_id: str, runtime_env: dict[str, object]) -> str:
        raise RuntimeError("nothing is started here")

    def get_job_status(self, job_id: str) -> str:
        return "RUNNING"

    def get_job_logs(self, job_id: str) -> str:
        if job_id not in self.logs:
            raise RuntimeError(f"Job {job_id} does not exist")
        return self.logs[job_id]
