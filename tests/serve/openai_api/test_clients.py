"""The official client, as applications use it."""

from __future__ import annotations

import base64

import numpy as np
import openai
import pytest

from coat_ray.tenancy.tables import UsageKind
from coat_ray.tenancy.times import month_of, utc_now
from coat_ray.tenancy.usage_report import used_in_month
from tests.inference.made import clip
from tests.serve.openai_api.conftest import SPEECH, Live, about, encoded, heard

GREEDY = {"model": SPEECH, "max_tokens": 6}


def test_models_are_listed_with_their_terms(live: Live) -> None:
    found = live.client().models.list().data
    assert {"base", SPEECH, "base:speech/notes@best"} <= {model.id for model in found}
    one = live.client().models.retrieve("base:speech/notes@best")
    assert (one.owned_by, one.licence, one.commercial_use) == ("speech", "Apache-2.0", True)  # type: ignore[attr-defined]


def test_an_answer_is_the_engines_and_alias_and_stream_say_the_same(live: Live) -> None:
    client = live.client()
    whole = client.chat.completions.create(messages=about(), **GREEDY)
    assert whole.choices[0].finish_reason == "length"
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 6
    assert whole.usage.prompt_tokens_details.audio_tokens > 20  # type: ignore[union-attr, operator]
    named = client.chat.completions.create(messages=about(), **GREEDY | {"model": "base:speech/notes@best"})
    assert named.choices[0].message.content == whole.choices[0].message.content
    options = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = list(client.chat.completions.create(messages=about(), **GREEDY, **options))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks[:-1]) == whole.choices[0].message.content
    assert [c.choices[0].finish_reason for c in chunks[:-1]][-1] == "length"
    assert (chunks[-1].choices, chunks[-1].usage.total_tokens) == ([], whole.usage.total_tokens)  # type: ignore[union-attr]


def test_several_turns_clips_and_kinds_of_files_are_heard(live: Live) -> None:
    url = f"data:audio/flac;base64,{base64.b64encode(encoded(clip(2), 'FLAC')).decode()}"
    messages = [
        {"role": "system", "content": "Be short."},
        *about(heard(encoded(clip(1), "MP3"), "mp3")),
        {"role": "assistant", "content": "a bell"},
        *about({"type": "audio_url", "audio_url": {"url": url}}, heard()),
    ]
    answer = live.client().chat.completions.create(messages=messages, top_p=0.9, seed=3, temperature=1.0, **GREEDY)
    again = live.client().chat.completions.create(messages=messages, top_p=0.9, seed=3, temperature=1.0, **GREEDY)
    assert answer.choices[0].message.content == again.choices[0].message.content
    assert answer.usage is not None
    assert answer.usage.prompt_tokens_details.audio_tokens > 100  # type: ignore[union-attr, operator]


def test_modes_timings_and_what_the_experts_read_come_on_request(live: Live) -> None:
    create = live.client().chat.completions.create
    asked = {"mode": "block", "timings": True, "thinking": 10}
    block = create(messages=about(), **GREEDY, extra_body={"coat": asked})
    plain = create(messages=about(), **GREEDY, extra_body={"coat": {"mode": "plain", "timings": True}})
    assert block.usage.prompt_tokens > plain.usage.prompt_tokens  # type: ignore[union-attr]
    timings = block.coat["timings"]  # type: ignore[attr-defined]
    assert timings["ttft"] <= timings["total"]
    assert timings["tokens"] == 6
    thinking = block.coat["thinking"]  # type: ignore[attr-defined]
    assert set(thinking) == {"speech", "sed", "paralinguistic", "pitch"}
    assert all(view["unit"] and view["axes"] and view["time"]["columns"] <= 10 for view in thinking.values())
    reasoned = create(messages=about(), **GREEDY, extra_body={"coat": {"mode": "text_cot"}})
    assert reasoned.usage.completion_tokens_details.reasoning_tokens > 0  # type: ignore[union-attr, operator]
    assert reasoned.choices[0].message.reasoning_content  # type: ignore[attr-defined]


def test_what_is_not_heard_of_a_long_clip_is_said(live: Live) -> None:
    long = np.zeros(16_000 * 31, np.float32)
    answer = live.client().chat.completions.create(messages=about(heard(encoded(long, "FLAC"), "flac")), **GREEDY)
    assert answer.coat["clips"] == [{"seconds": 31.0, "heard_seconds": 30.0}]  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["json", "text", "verbose_json", "srt", "vtt"])
def test_a_clip_is_transcribed(live: Live, kind: str) -> None:
    file = ("clip.wav", encoded(clip(1)))
    made = live.client().audio.transcriptions.create(file=file, model=SPEECH, response_format=kind)  # type: ignore[call-overload]
    text = made if isinstance(made, str) else made.text
    assert text.strip()
    if kind == "verbose_json":
        assert (made.duration, made.segments[0].end, len(made.segments)) == (2.0, 2.0, 1)
    if kind in ("srt", "vtt"):
        assert "00:00:00" in text
        assert "--> 00:00:02" in text


def test_requests_and_seconds_of_audio_are_counted(live: Live) -> None:
    platform = live.serving.platform

    def used() -> tuple[float, float]:
        platform.usage.write(platform.database)
        with platform.database.read() as session:
            month = month_of(utc_now())
            kinds = (UsageKind.REQUESTS, UsageKind.AUDIO_SECONDS)
            requests, seconds = (used_in_month(session, "music", kind, month) for kind in kinds)
            return requests, seconds

    before = used()
    live.client("music").chat.completions.create(messages=about(), model="base", max_tokens=1)
    after = used()
    assert (after[0] - before[0], after[1] - before[1]) == (1, 2.0)


def test_more_audio_than_the_tenant_may_send_in_a_minute_waits(live: Live) -> None:
    client = live.client("slow")
    client.chat.completions.create(messages=about(), model="base", max_tokens=1)
    client.chat.completions.create(messages=about(), model="base", max_tokens=1)
    with pytest.raises(openai.RateLimitError) as denied:
        client.chat.completions.create(messages=about(), model="base", max_tokens=1)
    assert int(denied.value.response.headers["retry-after"]) > 0
    more = encoded(np.zeros(16_000 * 5, np.float32))
    with pytest.raises(openai.RateLimitError) as never:
        client.chat.completions.create(messages=about(heard(more)), model="base", max_tokens=1)
    assert never.value.response.headers["x-should-retry"] == "false"
