"""Nothing is read for those without a key, and never more than the bound."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator

import pytest

from coat_ray.tenancy import audit
from serve.doorkeeper import MAX_BODY_BYTES
from serve.unknown_callers import LEFT_OUT, LINES_PER_MINUTE, UnknownCallers
from tests.serve.archives import corpus, zipped
from tests.serve.conftest import CONFIG, World

BROKEN = {"content": b"{not json", "headers": {"content-type": "application/json"}}


def lines(world: World) -> list[audit.AuditRecord]:
    with world.platform.database.read() as session:
        return list(audit.query(session, limit=1000).records)


@pytest.mark.parametrize("who", ["none", "malformed"])
@pytest.mark.parametrize("path", ["/runs", "/leases", "/tenants", "/corpora"])
def test_a_body_without_a_key_is_not_looked_at(world: World, who: str, path: str) -> None:
    answer = world.ask("POST", path, who, **BROKEN)
    assert answer.status_code == 401
    assert lines(world)[0].action == f"POST {path}"


def test_a_body_without_a_key_is_not_read_however_long(world: World) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"x" * (MAX_BODY_BYTES + 1)

    assert world.ask("POST", "/runs", "none", content=pieces()).status_code == 401
    assert world.ask("PUT", "/corpora/clips", "none", content=pieces()).status_code == 401


def test_what_is_open_stays_open(world: World) -> None:
    assert world.client.get("/healthz").status_code == 200
    assert world.client.get("/api/v1/openapi.json").status_code == 200
    assert world.ask("POST", "/leases/trial-00000000/heartbeat", "none", json={"token": "x"}).status_code == 409


@pytest.mark.parametrize("who", ["member", "none"])
@pytest.mark.parametrize("announced", [True, False])
def test_a_body_beyond_the_bound_is_refused(world: World, who: str, announced: bool) -> None:
    path = "/runs" if who == "member" else "/leases/trial-00000000/heartbeat"
    body = b" " * (MAX_BODY_BYTES + 1)
    content = body if announced else iter([body[:1000], body[1000:]])
    answer = world.ask("POST", path, who, content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 413
    assert "at most 4,194,304 bytes" in answer.json()["error"]["message"]


def test_a_corpus_may_be_longer(world: World) -> None:
    archive = zipped({**corpus(), "notes.txt": bytes(MAX_BODY_BYTES + 1)}, zipfile.ZIP_STORED)
    for content in (archive, iter([archive[:100], archive[100:]])):
        answer = world.ask("PUT", "/corpora/clips", content=content, headers={"content-type": "application/zip"})
        assert answer.status_code != 413


def test_a_short_body_in_pieces_is_read(world: World) -> None:

    text = json.dumps({"config": CONFIG}).encode()
    answer = world.ask(
        "POST", "/runs", content=iter([text[:10], text[10:]]), headers={"content-type": "application/json"}
    )
    assert answer.status_code == 201


def test_the_log_of_refusals_does_not_grow_with_them(world: World) -> None:
    now = [0.0]
    unknown = UnknownCallers(lambda: now[0])
    for _ in range(2):
        for _ in range(LINES_PER_MINUTE + 5):
            unknown.record(world.platform.database, "GET /me", "/api/v1/me", "unknown")
        now[0] += 60
    unknown.write_left_out(world.platform.database)
    unknown.write_left_out(world.platform.database)
    written = [line for line in lines(world) if line.action in ("GET /me", LEFT_OUT)]
    assert len(written) == 2 * LINES_PER_MINUTE + 2
    assert [line.detail["number"] for line in written if line.action == LEFT_OUT] == [5, 5]


def test_whoever_reads_the_audit_log_reads_how_much_it_leaves_out(world: World) -> None:
    for _ in range(LINES_PER_MINUTE + 3):
        world.ask("GET", "/me", "none")
    found = world.ask("GET", "/audit", "owner", params={"action": LEFT_OUT}).json()["data"]
    assert [line["detail"] for line in found] == [{"number": 3}]
