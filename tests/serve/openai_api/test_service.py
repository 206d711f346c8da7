"""`python -m serve.openai.service` as people start it: it answers, and ends without dropping what was asked."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from benchmarks.malformed import FORMATS, chat_body
from benchmarks.own_models import OwnModels
from coat_ray.tenancy.times import month_of, utc_now
from coat_ray.tenancy.usage_report import usage_totals
from serve.openai.service import main
from tests.serve.served import wait_until


def asked(*, stream: bool, tokens: int) -> dict[str, object]:
    """A question whose answer goes on: at this temperature the end of the turn is one token among all."""
    body = json.loads(chat_body(FORMATS["wav"](), temperature=10.0, seed=1, stream=stream))
    return {**body, "max_tokens": tokens, "stream_options": {"include_usage": True}}


@pytest.mark.slow
def test_it_answers_and_a_signal_lets_what_runs_end(tmp_path: Path) -> None:
    with OwnModels(tmp_path) as service, service.client() as client, service.client() as other:
        assert client.get("/healthz").json() == {"status": "ok"}
        assert [model["id"] for model in client.get("/v1/models").json()["data"]] == ["base"]
        whole = client.post("/v1/chat/completions", json=asked(stream=False, tokens=2))
        assert whole.json()["usage"]["completion_tokens"] == 2
        with client.stream("POST", "/v1/chat/completions", json=asked(stream=True, tokens=600)) as answer:
            lines = answer.iter_lines()
            assert '"role"' in next(lines)
            service.process.send_signal(signal.SIGTERM)
            wait_until(lambda: other.get("/healthz").status_code == 503)
            refused = other.post("/v1/chat/completions", json=asked(stream=False, tokens=1))
            events = [line.removeprefix("data: ") for line in lines if line]
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        assert refused.json()["error"]["code"] == "stopping"
        assert events[-1] == "[DONE]"
        tokens = json.loads(events[-2])["usage"]["completion_tokens"]
        assert service.process.wait(60) == 0, service.log.read_text()
        database = service.database()
        with database.read() as session:
            [used] = usage_totals(session, by=["tenant"], month=month_of(utc_now()))
        database.close()
    assert (used.completion_tokens, used.requests) == (tokens + 2, 4)
    assert tokens > 2
    assert "Traceback" not in service.log.read_text()


def test_a_host_that_is_none_is_said_before_anything_is_loaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["service", "--audio-host", "ftp://clips.example"])
    with pytest.raises(SystemExit):
        main()
    assert "'ftp://clips.example' names no host of clips" in capsys.readouterr().err
