"""What an application counted is written when it ends."""

from __future__ import annotations

from fastapi.testclient import TestClient

from coat_ray.tenancy.tables import UsageKind
from coat_ray.tenancy.times import month_of, utc_now
from coat_ray.tenancy.usage_report import used_in_month
from serve.platform_api import build_app
from tests.serve.conftest import World


def test_an_application_that_ends_writes_what_it_counted(world: World) -> None:
    with TestClient(build_app(world.platform)) as client:
        answer = client.get("/api/v1/runs", headers={"Authorization": f"Bearer {world.keys['member']}"})
        assert answer.status_code == 200
    with world.platform.database.read() as session:
        assert used_in_month(session, "speech", UsageKind.REQUESTS, month_of(utc_now())) == 1
