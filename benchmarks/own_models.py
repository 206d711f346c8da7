"""The models' API as a process in a home of its own, with keys for who asks it: for measurements and tests."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import httpx
import psutil

from coat_ray.processes import end, spawn
from coat_ray.storage import Storage
from coat_ray.tenancy.database import Database
from coat_ray.tenancy.keys import create_key
from coat_ray.tenancy.roles import PLATFORM, Role
from coat_ray.tenancy.tenants import create_tenant

ROOT = Path(__file__).resolve().parent.parent
START_S = 180


class OwnModels:
    """``python -m serve.openai.service`` on a free port, for one tenant with one key."""

    def __init__(self, home: Path, *options: str) -> None:
        self.home, self._options = home, options
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        """Start it, and wait until it answers.

        Raises:
            RuntimeError: it ended, or does not answer.
        """
        database = self.database()
        with database.begin() as session:
            create_tenant(session, "speech", actor=PLATFORM)
            self.key = create_key(session, role=Role.VIEWER, tenant="speech", actor=PLATFORM).text
        database.close()
        outside = {name: value for name, value in os.environ.items() if not name.startswith("COAT_")}
        environment = {**outside, "COAT_HOME": str(self.home), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "serve.openai.service", "--port", str(self.port), *self._options]
        self.log = self.home / "service.log"
        with self.log.open("wb") as output:
            self.process: subprocess.Popen[bytes] = spawn(command, environment, output)
        deadline = time.monotonic() + START_S
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                end(self.process, 5)
                raise RuntimeError(f"the service did not start: {self.log.read_text()}")
            time.sleep(0.2)
        return self

    def __exit__(self, *_: object) -> None:
        end(self.process, 30)

    def database(self) -> Database:
        """Its database; close it."""
        return Database.open(f"sqlite:///{Storage(self.home).root / 'coat.db'}")

    def client(self) -> httpx.Client:
        """A client with the key."""
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {self.key}"}, timeout=120)

    def peak_bytes(self) -> int:
        """Most resident bytes since it started (Linux)."""
        line = Path(f"/proc/{self.process.pid}/status").read_text().split("VmHWM:")[1]
        return int(line.split()[0]) * 1024

    def cpu_seconds(self) -> float:
        """Processor time since it started, in steps of a hundredth."""
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)

    def started(self) -> float:
        """When the process began, which tells it from one that was started again.

        Raises:
            psutil.NoSuchProcess: it is gone.
        """
        return psutil.Process(self.process.pid).create_time()

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False
