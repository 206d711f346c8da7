"""A platform on a fresh database, asked over HTTP in this process, with a key of every kind."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from coat_ray.storage import Storage
from coat_ray.tenancy.database import Database
from coat_ray.tenancy.keys import create_key, revoke_key
from coat_ray.tenancy.ledger import Ledger
from coat_ray.tenancy.ledger_tables import RunState
from coat_ray.tenancy.quotas import Quota
from coat_ray.tenancy.roles import PLATFORM, Role
from coat_ray.tenancy.scheduling.demand import Resources
from coat_ray.tenancy.tenants import create_tenant
from serve.access import Platform
from serve.platform_api import build_app

CONFIG = {"name": "trial", "stages": [{"name": "one", "steps": 2}], "resources": {"train_workers": 1}}

SWEEP = {"name": "sweep", "run": CONFIG, "space": {"optim.lr": {"choice": [0.1, 0.01]}}}


@dataclass(frozen=True)
class World:
    """The platform, a client of its API, and the text of a key for each kind of caller."""

    platform: Platform
    client: TestClient
    keys: dict[str, str]
    ids: dict[str, str]

    def ask(self, method: str, path: str, who: str = "member", **more: object):  # type: ignore[no-untyped-def]
        key = self.keys[who]
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        headers |= more.pop("headers", {})  # type: ignore[arg-type]
        return self.client.request(method, f"/api/v1{path}", headers=headers, **more)  # type: ignore[arg-type]

    def submit(self, who: str = "member") -> str:
        answer = self.ask("POST", "/runs", who, json={"config": CONFIG})
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    def swept(self, folder: object = "sweep-1") -> str:
        """A sweep that is done, with its report in the folder ``sweep-1``; *folder* is what its job said."""
        run = str(self.ask("POST", "/sweeps", json={"config": SWEEP}).json()["id"])
        ledger = self.platform.ledger
        ledger.tick()
        lease = ledger.lease_of(run)
        assert lease is not None
        ledger.release(run, lease.token, RunState.DONE, result={"folder": folder})
        page = self.platform.storage.tenant("speech").root / "sweeps" / "sweep-1" / "report.html"
        page.parent.mkdir(parents=True)
        page.write_text("<p>the report</p>")
        return run


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that has its tables; to make them takes longer than most tests."""
    file = tmp_path_factory.mktemp("prepared") / "coat.db"
    Database.open(f"sqlite:///{file}").close()
    return file


@pytest.fixture
def world(tmp_path: Path, empty_database: Path) -> Iterator[World]:
    with world_in(tmp_path, empty_database) as made:
        yield made


@contextmanager
def world_in(folder: Path, empty_database: Path) -> Iterator[World]:
    """The tenants speech and music, and keys, in a copy of an empty database."""
    database = Database.open(f"sqlite:///{shutil.copy(empty_database, folder / 'coat.db')}")
    keys, ids = {"none": "", "malformed": "sk-123"}, {}
    with database.begin() as session:
        for tenant in ("speech", "music"):
            create_tenant(session, tenant, actor=PLATFORM, quota=Quota(gpus=8))
        wanted = [("owner", Role.OWNER, None), ("stranger", Role.ADMIN, "music")]
        wanted += [(role.value, role, "speech") for role in (Role.VIEWER, Role.MEMBER, Role.ADMIN)]
        for name, role, tenant in [*wanted, ("revoked", Role.ADMIN, "speech"), ("expired", Role.ADMIN, "speech")]:
            past = datetime(2020, 1, 1, tzinfo=UTC) if name == "expired" else None
            expiry = datetime(2020, 1, 2, tzinfo=UTC) if name == "expired" else None
            made = create_key(session, role=role, tenant=tenant, actor=PLATFORM, expires_at=expiry, now=past)
            keys[name], ids[name] = made.text, made.key.id
        revoke_key(session, ids["revoked"], actor=PLATFORM)
    platform = Platform(database, Ledger(database, lambda: Resources(8, 0)), Storage(folder))
    with TestClient(build_app(platform), raise_server_exceptions=False) as client:
        yield World(platform, client, keys, ids)
    database.close()
