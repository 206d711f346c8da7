"""Each status that the API answers with, how it comes about, and whether asking again helps."""

from __future__ import annotations

import dataclasses
import http.client
import json
from collections.abc import Callable, Iterator

import httpx
import pytest

from serve.access import Caller
from serve.openai.intake import Intake
from serve.openai.limits import ServingLimits
from tests.serve.openai_api.conftest import Live, about, heard, listening

ASKED = {"model": "base", "messages": about(), "max_tokens": 1}


def get(live: Live, path: str, who: str = "speech", method: str = "GET") -> httpx.Response:
    return httpx.request(method, f"{live.url}{path}", headers={"Authorization": f"Bearer {live.keys[who]}"}, timeout=60)


def unusable(live: Live) -> httpx.Response:
    """A model whose files are damaged."""
    home = live.serving.platform.storage.tenant("speech")
    [file] = [path for path in home.models().rglob("adapter_model.safetensors") if "broken" in str(path)]
    file.write_bytes(b"x")
    return live.post({**ASKED, "model": "base:speech/broken@1"})


def too_large(live: Live) -> httpx.Response:
    return live.post(b" " * (live.serving.limits.body_bytes + 1))


PERMANENT: dict[str, tuple[int, str, Callable[[Live], httpx.Response]]] = {
    "no json": (400, "invalid_request", lambda live: live.post(b"{")),
    "no key": (401, "invalid_api_key", lambda live: httpx.get(f"{live.url}/v1/models")),
    "a wrong key": (401, "invalid_api_key", lambda live: get(live, "/v1/models", "unknown")),
    "no such model": (404, "model_not_found", lambda live: live.post({**ASKED, "model": "gpt-4o"})),
    "no such route": (404, "http_error", lambda live: get(live, "/v1/embeddings")),
    "another method": (405, "http_error", lambda live: get(live, "/v1/models", method="DELETE")),
    "a large body": (413, "too_large", too_large),
    "another media type": (
        415,
        "unsupported_media_type",
        lambda live: live.post(b"{}", headers={"Content-Type": "text/xml"}),
    ),
    "no audio": (415, "audio_not_audio", lambda live: live.post({**ASKED, "messages": about(heard(b"hello " * 99))})),
    "an unknown format": (
        415,
        "unsupported_format",
        lambda live: live.post({**ASKED, "messages": about(heard(kind="wma"))}),
    ),
    "a damaged model": (422, "model_unusable", unusable),
}


@pytest.mark.parametrize(("status", "code", "cause"), PERMANENT.values(), ids=PERMANENT.keys())
def test_what_waiting_does_not_mend_says_so(
    live: Live, status: int, code: str, cause: Callable[[Live], httpx.Response]
) -> None:
    answer = cause(live)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert (error["code"], error["type"]) == (code, "invalid_request_error")
    assert answer.headers["x-should-retry"] == "false"
    assert "retry-after" not in answer.headers


@pytest.fixture
def small(live: Live) -> Iterator[Live]:
    """The same engine behind limits that are reached at once."""
    limits = ServingLimits(held_bytes=2**21, body_seconds=0.3)
    other = dataclasses.replace(live, serving=dataclasses.replace(live.serving, limits=limits))
    with listening(other):
        yield other


def test_a_tenant_that_sends_much_at_once_waits_and_others_do_not(small: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[Caller] = []
    room = Intake.room

    def noted(self: Intake, needed: int, asking: Caller) -> object:
        held.append(asking)
        self._held["music"] = 2**20  # as if one of its requests were being unpacked
        return room(self, needed, asking)

    monkeypatch.setattr(Intake, "room", noted)
    busy = small.post(ASKED, "music")
    assert (busy.status_code, busy.json()["error"]["code"], busy.headers["retry-after"]) == (503, "busy", "1")
    assert small.post(ASKED, "speech").status_code == 200
    assert [asking.tenant for asking in held] == ["music", "speech"]


def test_a_body_that_does_not_come_is_not_waited_for(small: Live) -> None:
    connection = http.client.HTTPConnection(small.url.removeprefix("http://"), timeout=60)
    connection.putrequest("POST", "/v1/chat/completions")
    headers = {"Authorization": f"Bearer {small.keys['speech']}", "Content-Type": "application/json"}
    for name, value in {**headers, "Content-Length": "100"}.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())["error"]["code"]) == (408, "timeout")
    connection.close()


def test_a_server_that_goes_down_says_when_to_ask_again(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live.serving.engine, "_draining", True)
    stopping = live.post(ASKED)
    assert (stopping.status_code, stopping.json()["error"]["code"]) == (503, "stopping")
    assert stopping.headers["retry-after"] == "5"
    assert httpx.get(f"{live.url}/healthz").status_code == 503
