"""Streams that break say so, and requests that nobody waits for leave the engine."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import openai
import pytest

from coat_ray.inference.errors import ModelFailed
from tests.inference.steps import Steps
from tests.serve.openai_api.conftest import Live, about
from tests.serve.served import wait_until

LONG = {"model": "base", "messages": about(), "max_tokens": 400}


@contextmanager
def held_after(live: Live, n: int) -> Iterator[threading.Event]:
    """The engine stands still after its n-th step until the block ends; gives what is set when it does."""
    engine = live.serving.engine
    steps = Steps(engine)
    reached, go_on = steps.hold_after(n)
    try:
        yield reached
    finally:
        go_on.set()
        engine._runner.step = steps._step  # type: ignore[method-assign]


def idle(live: Live) -> bool:
    stats = live.serving.engine.stats()
    return stats.running == stats.waiting == 0


def test_a_stream_that_breaks_ends_in_an_error_and_not_in_done(live: Live) -> None:
    runner = live.serving.engine._runner
    with held_after(live, 2) as reached:
        url, headers = f"{live.url}/v1/chat/completions", {"Authorization": f"Bearer {live.keys['speech']}"}
        with httpx.stream("POST", url, json={**LONG, "stream": True}, headers=headers, timeout=60) as answer:
            assert reached.wait(60)
            runner.rows[0].handle.emit(ModelFailed("out of memory"))
            lines = [line for line in answer.iter_lines() if line]
    assert answer.status_code == 200
    assert json.loads(lines[-1].removeprefix("data: "))["error"]["code"] == "internal_error"
    assert "data: [DONE]" not in lines
    wait_until(lambda: idle(live))


def test_the_official_client_raises_when_a_stream_breaks(live: Live) -> None:
    runner = live.serving.engine._runner
    with held_after(live, 2) as reached:
        stream = live.client().chat.completions.create(**LONG, stream=True)  # type: ignore[call-overload]
        assert reached.wait(60)
        runner.rows[0].handle.emit(ModelFailed("out of memory"))
        with pytest.raises(openai.APIError, match="the model failed"):
            list(stream)
    wait_until(lambda: idle(live))


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_hangs_up_leaves_the_engine(live: Live, stream: bool) -> None:
    connection = http.client.HTTPConnection(live.url.removeprefix("http://"), timeout=60)
    with held_after(live, 2) as reached:
        headers = {"Authorization": f"Bearer {live.keys['speech']}", "Content-Type": "application/json"}
        connection.request("POST", "/v1/chat/completions", json.dumps({**LONG, "stream": stream}), headers)
        assert reached.wait(60)
        (row,) = live.serving.engine._runner.rows
        connection.close()
        wait_until(lambda: row.handle.cancelled)
    wait_until(lambda: idle(live))


def test_a_full_queue_is_told_with_a_time_to_wait(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live.serving.engine, "limits", type(live.serving.engine.limits)(waiting=0))
    with pytest.raises(openai.InternalServerError) as busy:
        live.client().chat.completions.create(**LONG)  # type: ignore[call-overload]
    assert (busy.value.status_code, busy.value.response.headers["retry-after"]) == (503, "1")
