"""64 people submit at once against a quota of 5, while the service is killed and started again under them."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from coat_ray.client import Client, PlatformError
from coat_ray.tenancy.database import Database
from coat_ray.tenancy.keys import create_key
from coat_ray.tenancy.quotas import Quota
from coat_ray.tenancy.roles import PLATFORM, Role
from coat_ray.tenancy.tenants import create_tenant
from tests.serve.conftest import CONFIG

PEOPLE, QUOTA, KILLS = 64, 5, 3


class Service:
    """The API in a process of its own, which is killed and started again on the same port."""

    def __init__(self, home: Path) -> None:
        self.home = home
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        database = Database.open(storage_root=home)
        with database.begin() as session:
            create_tenant(session, "speech", actor=PLATFORM, quota=Quota(running_runs=QUOTA))
            self.key = create_key(session, role=Role.MEMBER, tenant="speech", actor=PLATFORM).text
        database.close()
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "serve.service", "--port", str(self.port), "--cpus", "1000"]
        environment = {**os.environ, "COAT_HOME": str(self.home)}
        self.process = subprocess.Popen(command, env=environment)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def client(self) -> Client:
        return Client.open(f"http://127.0.0.1:{self.port}", self.key)

    def states(self) -> Counter[str]:
        return Counter(run["state"] for run in self.client().get("/runs", limit=1000)["data"])

    def reasons(self) -> set[str]:
        return {run["reason"] for run in self.client().get("/runs", state="queued", limit=1000)["data"]}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path)
    yield service
    service.kill()


def submit(service: Service, number: int) -> str:
    """Submit one run, again and again until there is an answer."""
    client, deadline = service.client(), time.monotonic() + 300
    while True:
        try:
            return str(client.post("/runs", {"config": CONFIG}, idempotency_key=f"person {number}")["id"])
        except PlatformError as error:
            if error.status is not None or time.monotonic() > deadline:
                raise
            time.sleep(random.uniform(0.05, 0.3))


def test_exactly_the_quota_runs_and_the_rest_waits_whatever_dies_in_between(service: Service) -> None:
    with ThreadPoolExecutor(PEOPLE) as people:
        answers = [people.submit(submit, service, number) for number in range(PEOPLE)]
        for kill in range(KILLS):
            while sum(answer.done() for answer in answers) < PEOPLE * (kill + 1) // (KILLS + 2):
                time.sleep(0.02)
            service.kill()
            service.start()
        ids = [answer.result() for answer in answers]
    assert len(set(ids)) == PEOPLE
    deadline = time.monotonic() + 60
    while service.states()["starting"] < QUOTA:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert service.states() == {"starting": QUOTA, "queued": PEOPLE - QUOTA}
    service.kill()
    service.start()
    again = submit(service, 0)
    assert again == ids[0]
    assert service.states() == {"starting": QUOTA, "queued": PEOPLE - QUOTA}
    while "" in (reasons := service.reasons()):  # they come with the next look at the queue
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert reasons == {f"tenant speech runs {QUOTA} of its {QUOTA} runs; frees when one of them ends"}


def test_many_who_look_at_the_queue_at_once_grant_no_more(service: Service) -> None:
    ids = [submit(service, number) for number in range(12)]
    errors: list[Exception] = []

    def look(run: str) -> None:
        try:
            for _ in range(3):
                service.client().get(f"/leases/{run}")
        except Exception as error:  # noqa: BLE001 - shown by the test
            errors.append(error)

    threads = [threading.Thread(target=look, args=(run,)) for run in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert service.states() == {"starting": QUOTA, "queued": 12 - QUOTA}
