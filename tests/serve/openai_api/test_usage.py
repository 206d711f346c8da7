"""What requests use is on the tenant's account: requests, seconds of audio, tokens; an owner's on nobody's."""

from __future__ import annotations

import httpx
import pytest

from coat_ray.tenancy.times import month_of, utc_now
from coat_ray.tenancy.usage_report import UsageTotal, usage_totals
from tests.inference.made import clip
from tests.serve.openai_api.conftest import Live, about, encoded


def used(live: Live, tenant: str | None) -> UsageTotal:
    """Of one tenant, or of all."""
    platform = live.serving.platform
    platform.usage.write(platform.database)
    with platform.database.read() as session:
        by = ["tenant"] if tenant else []
        found = usage_totals(session, by=by, tenant=tenant, month=month_of(utc_now()))  # type: ignore[arg-type]
    return found[0] if found else UsageTotal()


def test_a_whole_answer_a_stream_and_a_transcript_are_counted_as_they_say(live: Live) -> None:
    client = live.client("music")
    before, create = used(live, "music"), client.chat.completions.create
    whole = create(messages=about(), model="base", max_tokens=3)  # type: ignore[call-overload]
    options = {"stream": True, "stream_options": {"include_usage": True}}
    streamed = list(create(messages=about(), model="base", max_tokens=5, **options))[-1]  # type: ignore[call-overload]
    counted = used(live, "music")
    client.audio.transcriptions.create(model="base", file=("a.wav", encoded(clip(1))))
    after = used(live, "music")
    for field in ("prompt_tokens", "completion_tokens"):
        said = getattr(whole.usage, field) + getattr(streamed.usage, field)
        assert getattr(counted, field) - getattr(before, field) == said
        assert getattr(after, field) > getattr(counted, field)
    assert after.requests - before.requests == 3
    assert after.audio_seconds - before.audio_seconds == 6.0


def test_what_is_refused_is_a_request_and_no_token(live: Live) -> None:
    before = used(live, "music")
    assert live.post({"model": "none", "messages": about()}, "music").status_code == 404
    after = used(live, "music")
    assert after.requests - before.requests == 1
    assert (after.prompt_tokens, after.audio_seconds) == (before.prompt_tokens, before.audio_seconds)


def test_an_owner_is_not_counted(live: Live) -> None:
    before = used(live, None)
    assert live.post({"model": "base", "messages": about(), "max_tokens": 1}, "owner").status_code == 200
    assert used(live, None) == before


def test_questions_count_against_the_requests_of_a_minute(live: Live) -> None:
    headers = {"Authorization": f"Bearer {live.keys['few']}"}
    answers = [httpx.get(f"{live.url}/v1/models", headers=headers), live.post({"model": "none", "messages": []}, "few")]
    answers += [live.post({"model": "base", "messages": about()}, "few")]
    assert [answer.status_code for answer in answers[:2]] == [200, 400]
    denied = answers[2]
    assert (denied.status_code, denied.json()["error"]["code"]) == (429, "quota_exceeded")
    assert 0 < int(denied.headers["retry-after"]) <= 61


@pytest.mark.parametrize("text", ["hello", [{"type": "text", "text": "hello"}]])
def test_a_key_that_requires_audio_asks_nothing_without_it(live: Live, text: object) -> None:
    silent = {"model": "base", "messages": [{"role": "user", "content": text}], "max_tokens": 1}
    refused = live.post(silent, "audio")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "audio_required")
    assert "needs a clip" in refused.json()["error"]["message"]
    assert refused.headers["x-should-retry"] == "false"
    assert live.post(silent).status_code == 200
    assert live.post({**silent, "messages": about()}, "audio").status_code == 200
    later = [*about(), {"role": "assistant", "content": "a bell"}, {"role": "user", "content": "how loud?"}]
    assert live.post({**silent, "messages": later}, "audio").status_code == 200
