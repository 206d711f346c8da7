"""What another tenant has, and what it asked, cannot be told from what does not exist."""

from __future__ import annotations

import json
from typing import Any

import httpx
import numpy as np
import pytest

from serve.openai.app import PREFIX, build_app
from tests.serve.openai_api.conftest import MUSIC, Live, about, encoded, heard, share

NAMES = {
    # (of another tenant, of nobody)
    "a version": (MUSIC, "base:nobody/chords@1"),
    "an alias": ("base:music/chords@best", "base:music/chords@worst"),
    "another version of a model that is there": ("base:music/chords@1", "base:music/chords@7"),
    "a name without a version": ("base:music/chords", "base:nobody/chords"),
}
ROUTES = {
    ("GET", "/models"): None,
    ("GET", "/models/{name}"): None,
    ("POST", "/chat/completions"): {"messages": about(), "max_tokens": 1},
    ("POST", "/audio/transcriptions"): {"response_format": "json"},
}
STRANGERS = ("speech", "audio")


def ask(live: Live, route: tuple[str, str], name: str, who: str, *, stream: bool = False) -> httpx.Response:
    method, path = route
    headers = {"Authorization": f"Bearer {live.keys[who]}"}
    url = f"{live.url}{PREFIX}{path.replace('{name}', name)}"
    sent: dict[str, Any] = {}
    if path == "/chat/completions":
        sent = {"json": {**(ROUTES[route] or {}), "model": name, "stream": stream}}
    elif path == "/audio/transcriptions":
        sent = {"data": {**(ROUTES[route] or {}), "model": name}, "files": {"file": ("a.wav", encoded(np.zeros(99)))}}
    return httpx.request(method, url, headers=headers, timeout=60, **sent)


def test_the_matrix_has_every_route(live: Live) -> None:
    paths = build_app(live.serving).openapi()["paths"]
    found = {(method.upper(), path.removeprefix(PREFIX)) for path in paths for method in paths[path]}
    found = {(method, path) for method, path in found if path != "/healthz"}
    assert found == set(ROUTES)


@pytest.mark.parametrize("who", STRANGERS)
@pytest.mark.parametrize("route", [route for route in ROUTES if route != ("GET", "/models")], ids=" ".join)
@pytest.mark.parametrize(("there", "nowhere"), NAMES.values(), ids=NAMES.keys())
def test_a_model_of_another_tenant_is_answered_like_none(
    live: Live, route: tuple[str, str], there: str, nowhere: str, who: str
) -> None:
    answers = [ask(live, route, name, who) for name in (there, nowhere)]
    told = [
        (answer.status_code, answer.text.replace(name, "X"), sorted(answer.headers))
        for answer, name in zip(answers, (there, nowhere), strict=True)
    ]
    assert told[0] == told[1]
    assert answers[0].status_code == 404
    assert answers[0].headers["x-should-retry"] == "false"


def test_a_stream_of_another_tenants_model_is_refused_before_it_begins(live: Live) -> None:
    answers = [ask(live, ("POST", "/chat/completions"), name, "speech", stream=True) for name in (MUSIC, "base:a/b@1")]
    assert [answer.status_code for answer in answers] == [404, 404]


@pytest.mark.parametrize("who", STRANGERS)
def test_a_list_has_no_trace_of_another_tenant(live: Live, who: str) -> None:
    answer = ask(live, ("GET", "/models"), "", who)
    assert "base:speech/notes@best" in answer.text
    assert "music" not in answer.text
    assert "chords" not in answer.text


def timings(live: Live, who: str, data: bytes, model: str = "base") -> dict[str, float]:
    asked = {"model": model, "messages": about(heard(data)), "max_tokens": 1, "coat": {"timings": True}}
    answer = live.post(asked, who)
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["coat"]["timings"])


def test_a_clip_that_another_tenant_sent_is_encoded_again(live: Live) -> None:
    """The answer's own figures are what a tenant sees of the cache: they must not say who asked about a clip before."""
    data = encoded((0.1 * np.random.default_rng(77).standard_normal(32_000)).astype(np.float32))
    first, again = timings(live, "speech", data), timings(live, "speech", data)
    stranger, stranger_again = timings(live, "music", data), timings(live, "music", data)
    owner = timings(live, "owner", data)
    assert [seen["cached_clips"] for seen in (first, again, stranger, stranger_again, owner)] == [0, 1, 0, 1, 0]
    assert [seen["encode"] > 0 for seen in (first, again, stranger, stranger_again, owner)] == [
        *(True, False),
        *(True, False),
        True,
    ]


def test_two_keys_of_one_tenant_share_its_cache_and_a_shared_model_opens_no_others(live: Live) -> None:
    data = encoded((0.1 * np.random.default_rng(78).standard_normal(32_000)).astype(np.float32))
    share(live, "music", "chords@1", "few")
    assert timings(live, "music", data, MUSIC)["cached_clips"] == 0
    assert timings(live, "speech", data)["cached_clips"] == 0
    assert timings(live, "audio", data)["cached_clips"] == 1


def test_figures_come_only_where_they_are_asked_for_and_name_nobody(live: Live) -> None:
    silent = live.post({"model": "base", "messages": about(), "max_tokens": 1}).json()
    assert "coat" not in silent
    shown = json.dumps(timings(live, "speech", encoded(np.zeros(32_000, np.float32))))
    assert not any(name in shown for name in ("music", "speech", "owner"))
