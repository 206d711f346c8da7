"""Logs: only of jobs that the platform started, only while the key lives, only so many at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import anyio
import pytest
from sqlalchemy.orm import Session

from coat_ray.tenancy.keys import authenticate, revoke_key
from coat_ray.tenancy.ledger_tables import RunRow, ShareKind
from coat_ray.tenancy.roles import PLATFORM
from coat_ray.tenancy.sharing import grant, revoke
from coat_ray.tenancy.tables import KeyRow
from coat_ray.tenancy.times import utc_now
from serve import printed
from serve.access import Platform
from serve.printed import Follower
from serve.streams import MAX_STREAMS
from tests.serve.conftest import CONFIG, World
from tests.serve.served import Printed


@pytest.fixture
def cluster() -> Printed:
    return Printed()


@pytest.fixture
def platform(world: World, cluster: Printed, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """The world's platform with a cluster, looked at without long pauses."""
    monkeypatch.setattr(printed, "FOLLOW_EVERY_S", (0.01,))
    made = replace(world.platform, cluster=cluster)
    world.client.app.state.platform = made  # type: ignore[attr-defined]
    return made


def started(world: World, platform: Platform, attempt: int = 1, attempts: int = 1) -> str:
    """A run whose job of an attempt was started."""
    run = world.submit()
    platform.ledger.started(run, f"{run}-{attempt}")
    with platform.database.begin() as session:
        session.get_one(RunRow, run).attempts = attempts
    return run


def test_the_log_of_a_job_that_somebody_else_started_is_not_asked_for(
    world: World, platform: Platform, cluster: Printed
) -> None:
    run = started(world, platform)
    cluster.logs[f"{run}-1"] = "secret\n"
    lease = world.ask("POST", "/leases", "stranger", json={"config": CONFIG, "ray_job_id": f"{run}-1"}).json()["id"]
    for follow in (False, True):
        answer = world.ask("GET", f"/runs/{lease}/logs", "stranger", params={"follow": follow})
        assert answer.status_code == 404
        assert "its log is with whoever did" in answer.json()["error"]["message"]


@pytest.mark.parametrize(("attempt", "seen"), [(1, "mine"), (2, "mine"), (3, ""), (0, "")])
def test_a_log_is_that_of_an_attempt_of_the_run(
    world: World, platform: Platform, cluster: Printed, attempt: int, seen: str
) -> None:
    run = started(world, platform, attempt=attempt, attempts=2)
    cluster.logs[f"{run}-{attempt}"] = "mine"
    assert world.ask("GET", f"/runs/{run}/logs").text == seen


def test_a_log_of_a_foreign_job_is_not_shown_whatever_the_database_says(
    world: World, platform: Platform, cluster: Printed
) -> None:
    run = world.submit()
    cluster.logs["other-1"] = "secret"
    platform.ledger.started(run, "other-1")
    assert world.ask("GET", f"/runs/{run}/logs").text == ""


def followed(world: World, platform: Platform, run: str, then: Callable[[Session], object], who: str = "member") -> str:
    """What a follower reads who sees one line before something happens."""
    follower = Follower(platform, authenticate(platform.database, world.keys[who]), run, 10)

    async def read() -> str:
        lines = follower.lines()
        text = await anext(lines)
        with platform.database.begin() as session:
            then(session)
        with anyio.fail_after(60):
            async for more in lines:
                text += more
        return text

    return anyio.run(read)


def test_a_followed_log_ends_with_its_key(world: World, platform: Platform, cluster: Printed) -> None:
    run = started(world, platform)
    cluster.logs[f"{run}-1"] = "one\n"
    ends: dict[str, Callable[[Session], object]] = {
        "member": lambda session: revoke_key(session, world.ids["member"], actor=PLATFORM),
        "viewer": lambda session: setattr(session.get_one(KeyRow, world.ids["viewer"]), "expires_at", utc_now()),
    }
    for who, end in ends.items():
        assert followed(world, platform, run, end, who) == "one\n[this API key is no longer accepted]\n"


def test_a_followed_log_ends_with_its_share(world: World, platform: Platform, cluster: Printed) -> None:
    run = started(world, platform)
    cluster.logs[f"{run}-1"] = "one\n"
    with platform.database.begin() as session:
        share = grant(session, "speech", ShareKind.RUN, run, "music", actor=PLATFORM)
    text = followed(world, platform, run, lambda session: revoke(session, share.id, actor=PLATFORM), "stranger")
    assert text.startswith("one\n[no run ")


def test_a_followed_log_ends_after_its_time(
    world: World, platform: Platform, cluster: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(printed, "FOLLOW_FOR_S", 0.0)
    run = started(world, platform)
    cluster.logs[f"{run}-1"] = "one\n"
    answer = world.ask("GET", f"/runs/{run}/logs", params={"follow": True})
    assert answer.text == "one\n[a log is followed for 0 minutes at once; ask again for what comes next]\n"


def test_a_tenant_follows_so_many_logs_at_once_and_hinders_no_other(world: World, platform: Platform) -> None:
    run, other = world.submit(), world.submit("stranger")
    for who, ended in (("member", run), ("stranger", other)):
        assert world.ask("POST", f"/runs/{ended}/stop", who).status_code == 200
    for _ in range(MAX_STREAMS - 1):
        platform.streams.begin("speech")
    for _ in range(2):  # each that ends makes room
        assert world.ask("GET", f"/runs/{run}/logs", params={"follow": True}).status_code == 200
    platform.streams.begin("speech")
    answer = world.ask("GET", f"/runs/{run}/logs", params={"follow": True})
    assert answer.status_code == 429
    assert "8 logs are followed already" in answer.json()["error"]["message"]
    assert world.ask("GET", f"/runs/{run}/logs").status_code == 200
    assert world.ask("GET", f"/runs/{other}/logs", "stranger", params={"follow": True}).status_code == 200
