"""The door: who is let in, and what those are told who are not."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

import coat_ray.client
from ui import sentences
from ui.door import TOO_OFTEN, UNKNOWN, routes
from ui.models import Models
from ui.page import Page


class Platform(BaseHTTPRequestHandler):
    """Answers every key with one status."""

    status = 200

    def do_GET(self):
        body = b'{"role": "member", "tenant": "speech"}'
        self.send_response(self.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def platform(monkeypatch):
    monkeypatch.setattr(coat_ray.client, "PAUSES_S", ())
    server = HTTPServer(("127.0.0.1", 0), Platform)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def signed_in(server, key="coat_x"):
    app = FastAPI()
    url = f"http://127.0.0.1:{server.server_port}"
    app.include_router(routes(Page(url, Models(url)), "/ui"))
    return TestClient(app, follow_redirects=False).post("/ui/door", data={"key": key})


@pytest.mark.parametrize(
    ("status", "answered", "sentence"),
    [(401, 401, UNKNOWN), (403, 401, UNKNOWN), (429, 503, TOO_OFTEN), (500, 503, sentences.NO_PLATFORM)],
)
def test_a_key_is_called_wrong_only_where_it_was_refused(platform, monkeypatch, status, answered, sentence):
    monkeypatch.setattr(Platform, "status", status)
    answer = signed_in(platform)
    assert answer.status_code == answered
    assert sentence.replace("'", "&#x27;") in answer.text


def test_a_platform_that_is_down_says_nothing_of_a_key(platform, monkeypatch):
    monkeypatch.setattr(platform, "server_port", 9)
    answer = signed_in(platform)
    assert answer.status_code == 503
    assert sentences.NO_PLATFORM in answer.text


def test_a_key_that_the_platform_knows_opens_the_door(platform):
    assert signed_in(platform).headers["location"] == "/ui/"
    assert signed_in(platform, "two words").status_code == 401
