"""The client tries again where nothing can be done twice, waits where it is short, and never says a key."""

from __future__ import annotations

import io
import json
import stat
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from coat_ray import client as module
from coat_ray.client import Client, PlatformError, forget, part, remember

KEY = "coat_ab12cd34_" + "s" * 43
OTHER = "coat_zz98yy76_" + "t" * 43
HANG_UP: dict[str, Any] = {}


class Scripted:
    """A server that gives its answers in turn, the last one for ever, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: list[dict[str, Any]] = [{"status": 200, "body": {"data": 1}}]
        self.asked: list[dict[str, Any]] = []
        script = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                chunked = self.headers.get("transfer-encoding") == "chunked"
                body = _chunks(self.rfile) if chunked else self.rfile.read(length)
                script.asked.append(
                    {"method": self.command, "path": self.path, "headers": dict(self.headers), "body": body}
                )
                answer = script.answers.pop(0) if len(script.answers) > 1 else script.answers[0]
                if answer is HANG_UP:
                    self.close_connection = True
                    return
                data = answer.get("text", json.dumps(answer.get("body"))).encode()
                self.send_response(answer["status"])
                kind = "text/plain; charset=utf-8" if "text" in answer else "application/json"
                headers = {"content-type": kind, "content-length": str(len(data) + answer.get("missing", 0))}
                for name, value in (headers | answer.get("headers", {})).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)
                self.close_connection = True

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True, kwargs={"poll_interval": 0.01}).start()


def _chunks(file: Any) -> bytes:
    found = b""
    while size := int(file.readline(), 16):
        found += file.read(size)
        file.readline()
    file.readline()
    return found


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, coat_home: Path) -> Iterator[Scripted]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(module, "PAUSES_S", (0.0, 0.0))
    scripted = Scripted()
    yield scripted
    scripted.server.shutdown()
    scripted.server.server_close()


@pytest.fixture
def client(server: Scripted) -> Client:
    return Client.open(server.url, KEY)


def refused(status: int, message: str = "no", **headers: str) -> dict[str, Any]:
    return {"status": status, "body": {"error": {"message": message}}, "headers": headers}


def test_a_key_goes_into_the_header_and_nowhere_else(server: Scripted, client: Client) -> None:
    assert client.get("/runs", state="done", limit=None, by=["run", "month"]) == {"data": 1}
    [asked] = server.asked
    assert asked["path"] == "/api/v1/runs?state=done&by=run&by=month"
    assert asked["headers"]["Authorization"] == f"Bearer {KEY}"
    assert KEY not in repr(client) + str(vars(client.session)) + asked["path"]


def test_a_netrc_of_the_user_does_not_replace_the_key(
    server: Scripted, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password mine\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    client.get("/runs")
    assert server.asked[0]["headers"]["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("trouble", [HANG_UP, refused(502), refused(503), refused(503, **{"Retry-After": "0"})])
def test_reads_and_idempotent_posts_are_sent_again(server: Scripted, client: Client, trouble: dict[str, Any]) -> None:
    server.answers = [trouble, trouble, {"status": 200, "body": "read"}]
    assert client.get("/runs") == "read"
    server.answers = [trouble, {"status": 201, "body": "made"}]
    assert client.post("/runs", {"a": 1}, idempotency_key="k") == "made"
    assert [ask["headers"].get("Idempotency-Key") for ask in server.asked] == [None] * 3 + ["k"] * 2
    assert server.asked[-1]["body"] == b'{"a": 1}'


@pytest.mark.parametrize("trouble", [HANG_UP, refused(502), refused(503)])
@pytest.mark.parametrize("method", ["post", "patch", "put", "delete"])
def test_what_could_be_done_twice_is_sent_once(
    server: Scripted, client: Client, trouble: dict[str, Any], method: str
) -> None:
    server.answers = [trouble]
    bodies: dict[str, tuple[Any, ...]] = {"post": ({},), "patch": ({},), "put": (b"x",), "delete": ()}
    with pytest.raises(PlatformError):
        getattr(client, method)("/runs", *bodies[method])
    assert len(server.asked) == 1


def test_after_a_few_attempts_the_trouble_is_said(server: Scripted, client: Client) -> None:
    server.answers = [refused(503, "starting")]
    with pytest.raises(PlatformError, match="starting") as caught:
        client.get("/runs")
    assert caught.value.status == 503
    assert len(server.asked) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 500])
def test_an_answer_that_will_not_change_is_not_asked_for_again(server: Scripted, client: Client, status: int) -> None:
    server.answers = [refused(status, "because")]
    with pytest.raises(PlatformError, match="because") as caught:
        client.get("/runs")
    assert caught.value.status == status
    assert len(server.asked) == 1


def test_a_limit_that_frees_soon_is_waited_for_and_a_later_one_is_said(server: Scripted, client: Client) -> None:
    server.answers = [refused(429, **{"Retry-After": "0"}), {"status": 200, "body": "done"}]
    assert client.post("/keys", {}) == "done"
    for headers in ({"Retry-After": "3600"}, {}, {"Retry-After": "Sat, 21 Nov 2026 20:00:00 GMT"}):
        server.answers, server.asked = [refused(429, "5 of 5 used", **headers)], []
        with pytest.raises(PlatformError, match="5 of 5 used") as caught:
            client.get("/runs")
        assert caught.value.retry_after_s == (3600 if headers.get("Retry-After") == "3600" else None)
        assert len(server.asked) == 1


def test_files_are_sent_as_they_are(server: Scripted, client: Client) -> None:
    client.put("/corpora/birds", b"bytes", content_type="application/zip")
    client.put("/corpora/birds", io.BytesIO(b"a file"))
    client.put("/corpora/birds", iter([b"piece ", b"by piece"]))  # type: ignore[arg-type]
    assert [ask["body"] for ask in server.asked] == [b"bytes", b"a file", b"piece by piece"]
    assert server.asked[0]["headers"]["Content-Type"] == "application/zip"
    assert server.asked[1]["headers"]["Content-Type"] == "application/octet-stream"


def test_a_stream_gives_lines_and_says_when_it_breaks_off(server: Scripted, client: Client) -> None:
    server.answers = [{"status": 200, "text": "one\ntwo ä\nthree"}]
    assert list(client.stream("/runs/x/logs", follow="true")) == ["one", "two ä", "three"]
    assert server.asked[0]["path"].endswith("?follow=true")
    server.answers = [{"status": 200, "text": "one\n", "missing": 9}]
    with pytest.raises(PlatformError, match="broke off"):
        list(client.stream("/runs/x/logs"))


def test_nobody_there_is_one_sentence_without_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSES_S", ())
    with pytest.raises(PlatformError, match=r"no answer from the platform at http://127\.0\.0\.1:1") as caught:
        Client.open("http://127.0.0.1:1/", KEY).get("/runs")
    assert KEY not in f"{caught.value!r} {caught.value.__cause__!r}"
    assert caught.value.status is None


@pytest.mark.parametrize("key", [" ", f"{KEY}\n", f"{KEY} x", f"{KEY}é", f"Bearer {KEY}"])
def test_what_cannot_be_a_key_is_refused_without_being_repeated(key: str) -> None:
    with pytest.raises(PlatformError, match="no API key") as caught:
        Client.open("http://127.0.0.1:1", key)
    assert KEY not in repr(caught.value)


def test_an_address_may_name_the_api_itself() -> None:
    assert Client.open("http://127.0.0.1:1/api/v1/", KEY).url == "http://127.0.0.1:1"


@pytest.mark.parametrize("url", ["", "127.0.0.1:8000", "ftp://host", "http://", "http://me:secret@host"])
def test_what_cannot_be_an_address_is_refused(url: str) -> None:
    with pytest.raises(PlatformError, match="the address of a platform is") as caught:
        Client.open(url, KEY)
    assert "secret" not in str(caught.value)


def test_a_remembered_platform_is_private_and_found(server: Scripted, coat_home: Path) -> None:
    assert Client.configured() is None
    with pytest.raises(PlatformError, match="coat login URL"):
        Client.required()
    file = remember(f"{server.url}/", KEY)
    assert file == coat_home / "platform.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    Client.required().get("/me")
    assert server.asked[0]["headers"]["Authorization"] == f"Bearer {KEY}"
    assert forget()
    assert not forget()
    assert Client.configured() is None


def test_jobs_know_only_what_their_environment_says(server: Scripted) -> None:
    remember(server.url, KEY)
    assert Client.from_environment() is None


def test_the_environment_wins_and_a_remembered_key_never_goes_to_another_address(
    server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember("http://127.0.0.1:1", KEY)
    monkeypatch.setenv("COAT_PLATFORM", server.url)
    with pytest.raises(PlatformError, match="COAT_API_KEY is not"):
        Client.configured()
    monkeypatch.setenv("COAT_API_KEY", OTHER)
    Client.required().get("/me")
    monkeypatch.delenv("COAT_PLATFORM")
    remember(server.url, KEY)
    Client.required().get("/me")
    assert {ask["headers"]["Authorization"] for ask in server.asked} == {f"Bearer {OTHER}"}


def test_a_damaged_file_is_named_without_its_text(coat_home: Path) -> None:
    coat_home.mkdir()
    (coat_home / "platform.json").write_text(f'{{"key": "{KEY}"')
    with pytest.raises(PlatformError, match="is damaged") as caught:
        Client.configured()
    assert caught.value.__cause__ is None
    assert KEY not in str(caught.value)


def test_a_name_is_one_part_of_a_path() -> None:
    assert part("a/../b?c=d#e") == "a%2F..%2Fb%3Fc%3Dd%23e"
