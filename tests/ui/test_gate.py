"""The gate: what each visitor gets of Gradio's routes, and what nobody gets."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from starlette.types import Message

from ui.gate import MOST_BODY, Gate
from ui.sessions import COOKIE, Session, Sessions


class Doubled:
    """A visitor and another one, in front of an application that answers everything."""

    def __init__(self, public: Path) -> None:
        self.sessions, self.public = Sessions(), public
        self.app = app = FastAPI()
        app.add_api_route("/ui/gradio_api/upload", lambda: ["/tmp/g/1/mine.wav"], methods=["POST"])
        app.add_api_route("/{path:path}", self._said, methods=["GET", "POST"])
        app.add_middleware(Gate, prefix="/ui", sessions=self.sessions, public=[public])
        self.one, self.other, self.nobody = (TestClient(app, follow_redirects=False) for _ in range(3))
        for client in (self.one, self.other):
            self.sign_in(client)

    def sign_in(self, client: TestClient) -> None:
        session = Session("coat_x", {"role": "member", "tenant": "speech"}, client=None)  # type: ignore[arg-type]
        client.cookies.set(COOKIE, self.sessions.begin(session))

    def named(self, client: TestClient, name: str) -> int:
        """The status of a file for a visitor; the test client would decode and shorten *name* on its way."""
        cookie = f"{COOKIE}={client.cookies[COOKIE]}".encode()
        scope = {"type": "http", "method": "GET", "path": f"/ui/gradio_api/file={name}", "query_string": b""}
        sent: list[Message] = []

        async def ask() -> None:
            await self.app({**scope, "headers": [(b"cookie", cookie)]}, receive, send)

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        asyncio.run(ask())
        return int(sent[0]["status"])

    async def _said(self, path: str, request: Request) -> dict[str, str]:
        return {"path": path, "body": (await request.body()).decode()}


@pytest.fixture
def world(tmp_path):
    (tmp_path / "public").mkdir()
    return Doubled(tmp_path / "public")


def test_nobody_gets_past_the_door_without_a_session(world):
    assert world.nobody.get("/ui/").headers["location"] == "/ui/door"
    for path in ("/ui/config", "/ui/gradio_api/queue/data?session_hash=a", "/ui/gradio_api/file=/etc/passwd"):
        assert world.nobody.get(path).status_code == 401
    world.nobody.cookies.set(COOKIE, "guessed")
    assert world.nobody.post("/ui/gradio_api/upload").status_code == 401
    assert world.nobody.get("/ui/door").status_code == world.nobody.get("/api/v1/me").status_code == 200


def test_a_file_belongs_to_the_visitor_who_uploaded_it(world):
    path = "/ui/gradio_api/file=/tmp/g/1/mine.wav"
    assert world.one.get(path).status_code == 404
    world.one.post("/ui/gradio_api/upload")
    assert world.one.get(path).status_code == 200
    assert world.other.get(path).status_code == 404
    assert world.named(world.one, "/tmp/g/1/mine.wav/../theirs.wav") == 404


SPELLINGS = (
    "%2Ftmp%2Fg%2F1%2Fmine.wav",
    "/tmp/g/1/./mine.wav",
    "/tmp/g/2/../1/mine.wav",
    "{public}/a%2fb%2fc%2fd%2fe%2ff%2fg%2fh" + "/.." * 8 + "/tmp/g/1/mine.wav",
    "http://elsewhere.example/../../{folder}/a.wav",
    "{folder}/a.wav",
)
"""Names as Gradio is given them, in which something else may be read than what it opens."""


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_spelling_of_a_path_opens_another_visitors_file(world, monkeypatch, spelling):
    monkeypatch.chdir(world.public.parent)
    world.one.post("/ui/gradio_api/upload")
    name = spelling.format(public=world.public, folder=world.public.name)
    assert world.named(world.other, name) == 404


def test_examples_are_everybodys_and_what_lies_beside_them_is_not(world):
    assert world.named(world.one, f"{world.public}/a.wav") == 200
    assert world.named(world.one, f"{world.public}/../secret.wav") == 404
    assert world.named(world.one, f"{world.public}x/a.wav") == 404


def test_a_tab_belongs_to_the_visitor_who_named_it_first(world):
    assert world.one.post("/ui/gradio_api/queue/join", json={"session_hash": "tab"}).status_code == 200
    assert world.other.post("/ui/gradio_api/queue/join", json={"session_hash": "tab"}).status_code == 403
    assert world.other.get("/ui/gradio_api/queue/data?session_hash=tab").status_code == 403
    assert world.other.get("/ui/gradio_api/heartbeat/tab").status_code == 403
    assert world.one.get("/ui/gradio_api/queue/data?session_hash=tab").status_code == 200


def test_an_event_reaches_gradio_as_it_was_sent_and_within_bounds(world):
    sent = '{"session_hash": "tab", "data": ["ä"]}'
    assert world.one.post("/ui/gradio_api/queue/join", content=sent.encode()).json()["body"] == sent
    assert world.one.post("/ui/gradio_api/queue/join", content=b"no json").status_code == 403
    assert world.one.post("/ui/gradio_api/queue/join", content=b"x" * (MOST_BODY + 1)).status_code == 413


CLOSED = (
    "gradio_api/proxy=http://localhost/",
    "gradio_api/file/tmp/x",
    "gradio_api/info",
    "gradio_api/runs",
    "gradio_api/run/predict",
    "gradio_api/stream/a/b/1/playlist.m3u8",
    "gradio_api/deep_link",
    "gradio_api/vibe-code",
    "monitoring",
    "login",
)


@pytest.mark.parametrize("path", CLOSED)
def test_routes_that_the_page_does_not_use_are_closed(world, path):
    assert world.one.get(f"/ui/{path}").status_code == 404


def test_signing_out_takes_files_and_tabs_along(world):
    path, tab = "/ui/gradio_api/file=/tmp/g/1/mine.wav", {"session_hash": "tab"}
    world.one.post("/ui/gradio_api/upload")
    world.one.post("/ui/gradio_api/queue/join", json=tab)
    assert world.one.get(path).status_code == 200
    world.sessions.end(world.one.cookies[COOKIE])
    assert world.one.get("/ui/config").status_code == world.one.get(path).status_code == 401
    assert world.other.post("/ui/gradio_api/queue/join", json=tab).status_code == 200
    world.sign_in(world.one)
    assert world.one.get(path).status_code == 404


def test_nothing_may_be_loaded_from_elsewhere(world):
    policy = world.one.get("/ui/").headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy
