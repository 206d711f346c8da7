"""Hosted models answer as an engine in one's own process, whatever happens to their replicas."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest

from benchmarks.hosted import about, add_adapters, noise
from coat_ray.inference.engine import Engine
from coat_ray.inference.requests import AdapterSource, Request, Sampling
from coat_ray.registry.models import ModelRegistry
from tests.serve.hosting.conftest import ADAPTERS, Hosted
from tests.serve.served import wait_until

pytestmark = pytest.mark.slow

TOKENS = 24
ASKED = [("base", None), *((f"base:{t}/{n}@1", (t, n)) for t, names in ADAPTERS.items() for n in names)]


def answer(hosted: Hosted, model: str, seed: int, tokens: int = TOKENS, **more: Any) -> Any:
    tenant = model.partition(":")[2].partition("/")[0] or "hosted-a"
    completions = hosted.client(tenant, more.pop("retries", 0)).chat.completions
    return completions.create(model=model, messages=about(noise(seed, 1.0)), max_tokens=tokens, **more)  # type: ignore[arg-type]


def text_of(answered: Any) -> str:
    return str(answered.choices[0].message.content)


@pytest.fixture(scope="module")
def expected(hosted: Hosted) -> dict[tuple[str, int], str]:
    """What one engine alone says, one question at a time."""
    found = {}
    with Engine.open(hosted.base) as engine:
        for model, place in ASKED:
            source = None
            if place:
                registry = ModelRegistry(hosted.storage.tenant(place[0]))
                record = registry.resolve(place[1])
                source = AdapterSource.of(record, registry.adapter_folder(record))
            for seed in range(3):
                messages = [{"role": "user", "content": "<audio>\nwhat sound is heard?"}]
                request = Request(messages, [noise(seed, 1.0)], source, sampling=Sampling(max_tokens=TOKENS))
                found[model, seed] = engine.submit(request).result(60).text
    return found


def test_adapters_of_two_tenants_side_by_side_answer_as_each_would_alone(
    hosted: Hosted, expected: dict[tuple[str, int], str]
) -> None:
    with ThreadPoolExecutor(12) as threads:
        answered = list(threads.map(lambda case: text_of(answer(hosted, *case)), expected))
    assert dict(zip(expected, answered, strict=True)) == expected
    assert len(set(expected.values())) > len(ASKED)  # they do differ


def test_a_stream_and_its_usage_arrive(hosted: Hosted, expected: dict[tuple[str, int], str]) -> None:
    chunks = list(answer(hosted, "base", 0, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert (text, chunks[-1].usage.completion_tokens) == (expected["base", 0], TOKENS)


def test_what_an_engine_refuses_has_its_status(hosted: Hosted) -> None:
    with pytest.raises(openai.BadRequestError, match="max_tokens"):
        answer(hosted, "base", 0, tokens=0)
    with pytest.raises(openai.BadRequestError, match="positions"):
        answer(hosted, "base", 0, tokens=10**6)
    with pytest.raises(openai.NotFoundError):
        hosted.client("hosted-b").chat.completions.create(model="base:hosted-a/one@1", messages=about(noise(0, 1)))  # type: ignore[arg-type]


def test_an_engine_that_is_killed_under_requests_costs_none_of_them(
    hosted: Hosted, expected: dict[tuple[str, int], str]
) -> None:
    whole = text_of(answer(hosted, "base", 0, 200))
    with ThreadPoolExecutor(8) as threads:
        plain = [threads.submit(answer, hosted, "base", 0, 200) for _ in range(4)]
        streams = [threads.submit(_streamed, hosted, 200) for _ in range(4)]
        time.sleep(0.3)
        hosted.kill_an_engine()
        assert {text_of(one.result()) for one in plain} == {whole}
        assert {one.result() for one in streams} == {(whole, True)}
    wait_until(lambda: len(hosted.engines()) == 2, 120)


def test_an_alias_moves_under_load_and_no_request_fails(hosted: Hosted) -> None:
    add_adapters(hosted.storage, "hosted-a", {"rolling": 5}, hosted.base)
    registry = ModelRegistry(hosted.storage.tenant("hosted-a"))
    registry.alias("rolling@1", "best")
    name = "base:hosted-a/rolling@best"
    before = text_of(answer(hosted, name, 0))
    add_adapters(hosted.storage, "hosted-a", {"rolling": 6}, hosted.base)
    moved = threading.Event()

    def ask() -> list[str]:
        said = []
        while not moved.is_set() or said[-1] == before:
            said.append(text_of(answer(hosted, name, 0)))
        return said

    with ThreadPoolExecutor(4) as threads:
        asking = [threads.submit(ask) for _ in range(4)]
        registry.alias("rolling@2", "best")
        moved.set()
        said = [one.result() for one in asking]
    after = text_of(answer(hosted, "base:hosted-a/rolling@2", 0))
    assert after != before
    assert all(set(texts) <= {before, after} and texts[-1] == after for texts in said)


def _streamed(hosted: Hosted, tokens: int) -> tuple[str, bool]:
    """The text of a stream, and whether it says that it is complete."""
    body = {"model": "base", "messages": about(noise(0, 1.0)), "max_tokens": tokens, "stream": True}
    headers = {"Authorization": f"Bearer {hosted.keys['hosted-a']}"}
    with httpx.stream("POST", f"{hosted.url}/v1/chat/completions", json=body, headers=headers, timeout=120) as response:
        lines = [line.removeprefix("data: ") for line in response.iter_lines() if line]
    chunks = [json.loads(line) for line in lines if line != "[DONE]"]
    text = "".join(choice["delta"].get("content", "") for chunk in chunks for choice in chunk.get("choices", ()))
    return text, lines[-1] == "[DONE]"
