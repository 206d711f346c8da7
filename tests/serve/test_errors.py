"""Who asked for what cannot be hears a sentence; what goes wrong in the platform stays in its log."""

from __future__ import annotations

from typing import Any

import pytest

from serve.routes import me
from tests.serve.conftest import CONFIG, World

JSON = {"content-type": "application/json"}
WRONG: list[tuple[str, str, str, dict[str, Any]]] = [
    ("owner", "POST", "/runs", {"json": {"config": CONFIG}}),
    ("member", "POST", "/runs", {"json": {"config": {**CONFIG, "nonsense": 1}}}),
    ("owner", "PATCH", "/tenants/speech/quota", {"json": {"gpuss": 1}}),
    ("owner", "PATCH", "/tenants/speech/quota", {"json": {"gpus": -1}}),
    ("owner", "POST", "/tenants", {"json": {"name": "Speech Lab"}}),
    ("owner", "POST", "/keys", {"json": {"role": "owner", "tenant": "speech"}}),
    ("admin", "POST", "/keys", {"json": {"role": "viewer", "expires_at": "2020-01-01T00:00:00Z"}}),
    ("admin", "POST", "/keys", {"content": b'{"role": "viewer", "label": "\\ud800"}', "headers": JSON}),
    ("member", "GET", "/usage", {"params": {"month": "2026-13"}}),
    ("member", "POST", "/corpora", {"json": {"name": "calls", "path": "../other"}}),
    ("member", "POST", "/corpora", {"json": {"name": "a b", "path": "x"}}),
    ("member", "PUT", "/corpora/calls", {"content": b"PK", "headers": {"content-type": "application/zip"}}),
]


@pytest.mark.parametrize(("who", "method", "path", "sent"), WRONG)
def test_what_the_caller_did_wrong_is_said(
    world: World, who: str, method: str, path: str, sent: dict[str, Any]
) -> None:
    answer = world.ask(method, path, who, **sent)
    assert answer.status_code == 422, answer.text
    assert len(answer.json()["error"]["message"].split()) > 3


def test_a_value_error_of_the_platform_shows_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise ValueError("/srv/secret is damaged")

    monkeypatch.setattr(me, "used_now", failing)
    answer = world.ask("GET", "/me")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.json()["error"]["code"] == "internal_error"


def test_a_damaged_record_hides_no_metrics_and_is_not_shown(world: World) -> None:
    run = world.submit()
    record = world.platform.storage.tenant("speech").runs() / "damaged" / "record.json"
    record.parent.mkdir(parents=True)
    record.write_text("{}")
    answer = world.ask("GET", f"/runs/{run}/metrics")
    assert (answer.status_code, answer.json()) == (200, {"data": {}})


def test_a_result_that_names_no_models_hides_no_metrics(world: World) -> None:
    run = world.ask("POST", "/leases", json={"config": CONFIG}).json()["id"]
    token = world.ask("GET", f"/leases/{run}").json()["token"]
    ending = {"token": token, "outcome": "done", "result": {"models": [5, {}]}}
    assert world.ask("POST", f"/leases/{run}/release", "none", json=ending).status_code == 200
    assert world.ask("GET", f"/runs/{run}/metrics").json() == {"data": {}}
