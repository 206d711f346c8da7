"""Every route with every kind of key: who is let in, who is not, and that each denial stands in the audit log."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from coat_ray.tenancy import audit
from coat_ray.tenancy.ledger_tables import ShareKind
from coat_ray.tenancy.roles import PLATFORM
from coat_ray.tenancy.sharing import grant
from coat_ray.tenancy.tables import Outcome
from coat_ray.tenancy.tenants import create_tenant
from serve.platform_api import PREFIX
from tests.serve.archives import corpus, zipped
from tests.serve.conftest import CONFIG, SWEEP, World
from tests.serve.trained import add_model

NOBODY = ("none", "malformed", "expired", "revoked")
INSIDE = ("viewer", "member", "admin", "owner")
KEY = {"role": "viewer", "tenant": "speech"}
TOKEN = {"token": "x"}
ARCHIVE = zipped(corpus())
SHARE = {"kind": "model", "name": "trial", "with": "music"}

SUBMIT = {"viewer": 403, "member": 201, "admin": 201, "owner": 422, "stranger": 201}
STOP = {"viewer": 403, "member": 200, "admin": 200, "owner": 200, "stranger": 404}
OWNERS = {"viewer": 403, "member": 403, "admin": 403, "owner": 200, "stranger": 404}
ADMINS = {"viewer": 403, "member": 403, "admin": 200, "owner": 200, "stranger": 404}
READ = dict.fromkeys(INSIDE, 200) | {"stranger": 404}
LIST = dict.fromkeys((*INSIDE, "stranger"), 200)
LOST = dict.fromkeys((*NOBODY, *INSIDE, "stranger"), 409)

ROUTES: dict[tuple[str, str], tuple[dict[str, Any] | bytes | None, dict[str, int]]] = {
    # (method, path): (body, status for each kind of caller that has a key)
    ("POST", "/runs"): ({"config": CONFIG}, SUBMIT),
    ("GET", "/runs"): (None, LIST),
    ("GET", "/runs/{run_id}"): (None, READ),
    ("POST", "/runs/{run_id}/stop"): (None, STOP),
    ("GET", "/runs/{run_id}/metrics"): (None, READ),
    ("GET", "/runs/{run_id}/arms"): (None, READ),
    ("GET", "/runs/{run_id}/logs"): (None, READ),
    ("POST", "/sweeps"): ({"config": SWEEP}, SUBMIT),
    ("GET", "/sweeps/{run_id}/report"): (None, READ),
    ("GET", "/configs"): (None, LIST),
    ("GET", "/configs/schema/{kind}"): (None, LIST),
    ("POST", "/leases"): ({"config": CONFIG}, SUBMIT),
    ("GET", "/leases/{run_id}"): (None, STOP),
    ("POST", "/leases/{run_id}/heartbeat"): (TOKEN, LOST),
    ("POST", "/leases/{run_id}/release"): (TOKEN | {"outcome": "done"}, LOST),
    ("GET", "/corpora"): (None, LIST),
    ("POST", "/corpora"): ({"name": "more", "path": "more"}, SUBMIT | {"stranger": 422}),
    ("GET", "/corpora/{corpus}"): (None, READ | {"owner": 422}),
    ("PUT", "/corpora/{corpus}"): (ARCHIVE, SUBMIT | {"member": 200, "admin": 200}),
    ("DELETE", "/corpora/{corpus}"): (None, ADMINS | {"owner": 422}),
    ("GET", "/models"): (None, LIST),
    ("GET", "/models/{ref}"): (None, READ),
    ("POST", "/models/{ref}/alias"): ({"alias": "best"}, STOP),
    ("DELETE", "/models/{ref}"): (None, ADMINS),
    ("GET", "/shares"): (None, LIST),
    ("POST", "/shares"): (SHARE, ADMINS | {"admin": 201, "owner": 422}),
    ("DELETE", "/shares/{share_id}"): (None, ADMINS),
    ("GET", "/me"): (None, LIST),
    ("GET", "/tenants"): (None, LIST),
    ("POST", "/tenants"): ({"name": "new"}, OWNERS | {"owner": 201, "stranger": 403}),
    ("DELETE", "/tenants/{name}"): (None, OWNERS),
    ("GET", "/tenants/{name}/quota"): (None, READ),
    ("PATCH", "/tenants/{name}/quota"): ({"gpus": 2}, OWNERS),
    ("GET", "/keys"): (None, ADMINS | {"stranger": 200}),
    ("POST", "/keys"): (KEY, ADMINS | {"admin": 201, "owner": 201}),
    ("DELETE", "/keys/{key_id}"): (None, ADMINS),
    ("GET", "/usage"): (None, LIST),
    ("GET", "/audit"): (None, ADMINS | {"stranger": 200}),
}
CELLS = [
    (method, path, who, status)
    for (method, path), (_, statuses) in ROUTES.items()
    for who, status in {**dict.fromkeys(NOBODY, 401), **statuses}.items()
]

SHIPPED = "/configs"
"""Begins the routes about what belongs to nobody: it ships."""

NAMING = [
    (method, path)
    for method, path in ROUTES
    if method != "PUT" and not path.startswith(SHIPPED) and ("{" in path or ROUTES[method, path][0] == KEY)
]
"""Routes about one thing; PUT is not among them, because it makes a thing of the caller's own."""


def test_the_matrix_has_every_route(world: World) -> None:
    document = world.client.get(f"{PREFIX}/openapi.json").json()
    stated = {
        (method.upper(), path.removeprefix(PREFIX))
        for path, methods in document["paths"].items()
        for method in methods
        if path.startswith(PREFIX)
    }
    assert stated == set(ROUTES)


def sent(body: dict[str, Any] | bytes | None) -> dict[str, Any]:
    """A body as the client of a test takes it."""
    if isinstance(body, bytes):
        return {"content": body, "headers": {"content-type": "application/zip"}}
    return {"json": body}


def furnish(world: World, path: str) -> dict[str, str]:
    """What a path names, all of tenant speech: a run, and where they are asked for a corpus, a model, a share."""
    names = {"run_id": world.submit(), "name": "speech", "key_id": world.ids["viewer"], "kind": "run"}
    if path.startswith("/sweeps"):
        names["run_id"] = world.swept()
    if path.startswith("/corpora"):
        assert world.ask("PUT", "/corpora/clips", **sent(ARCHIVE)).status_code == 201
        home = world.platform.storage.tenant("speech")
        shutil.copytree(home.corpora / "clips", home.inbox / "more")
    if path.startswith(("/models", "/shares")):
        add_model(world)
        with world.platform.database.begin() as session:
            create_tenant(session, "video", actor=PLATFORM)
            made = grant(session, "speech", ShareKind.RUN, names["run_id"], "video", actor=PLATFORM)
        names["share_id"] = str(made.id)
    return {**names, "corpus": "clips", "ref": "speech/trial@1"}


def denials(world: World) -> list[audit.AuditRecord]:
    with world.platform.database.read() as session:
        return list(audit.query(session, outcome=Outcome.DENIED).records)


@pytest.mark.parametrize(("method", "path", "who", "status"), CELLS)
def test_a_caller_gets_what_its_key_allows(world: World, method: str, path: str, who: str, status: int) -> None:
    place = path.format(**furnish(world, path))
    body, _ = ROUTES[method, path]
    answer = world.ask(method, place, who, **sent(body))
    assert answer.status_code == status, answer.text
    if status >= 400:
        assert set(answer.json()) == {"error"}
        assert {"message", "type", "code"} <= set(answer.json()["error"])
    if status in (401, 403, 409):
        [line] = denials(world)
        assert line.action == f"{method} {path}"
        if who in world.ids and status == 403:
            assert line.actor_key == world.ids[who]
    for key in filter(None, world.keys.values()):
        assert key not in answer.text or len(key) < 20
    if who == "stranger" and "speech" not in f"{place}{body}" and not path.startswith(SHIPPED):
        assert "speech" not in answer.text


@pytest.mark.parametrize(("method", "path"), NAMING)
def test_what_belongs_to_another_tenant_cannot_be_told_from_what_does_not_exist(
    world: World, method: str, path: str
) -> None:
    there = furnish(world, path)
    nowhere = {"run_id": "trial-00000000", "name": "nobody", "key_id": "00000000", "corpus": "knell"}
    nowhere |= {"ref": "nobody/trial@1", "share_id": "4711"}
    answers = []
    for names in (there, nowhere):
        body = ROUTES[method, path][0]
        if body == KEY:
            body = {**KEY, "tenant": names["name"]}
        answer = world.ask(method, path.format(**names), "stranger", **sent(body))
        text = answer.text
        for name in (value for key, value in names.items() if f"{{{key}}}" in path or key == "name"):
            text = text.replace(name, "X")
        answers.append((answer.status_code, text, sorted(answer.headers)))
    assert answers[0] == answers[1]
