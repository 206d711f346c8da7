"""The models' API, asked as any client of OpenAI's API would ask it; answers come as a stream."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from ui import sentences

TIMEOUT = httpx.Timeout(10.0, read=300.0, pool=None)
LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=64)


class AnswerError(RuntimeError):
    """There is no (whole) answer; the message is a sentence for the visitor."""


@dataclass(frozen=True)
class Asked:
    """One question: the model's name, the conversation in OpenAI's shape, and what of ``coat`` is wanted."""

    model: str
    messages: Sequence[Mapping[str, Any]]
    mode: str = "block"
    thinking: int = 0
    teachers: bool = False
    max_tokens: int = 256

    def body(self) -> dict[str, Any]:
        """As it is sent."""
        coat: dict[str, Any] = {"mode": self.mode, "timings": True}
        coat |= {"thinking": self.thinking} if self.thinking else {}
        coat |= {"teachers": True} if self.teachers else {}
        body = {"model": self.model, "messages": list(self.messages), "max_tokens": self.max_tokens, "coat": coat}
        return body | {"stream": True, "stream_options": {"include_usage": True}}


@dataclass
class Answer:
    """An answer as far as it has come. ``coat`` (timings, thinking) and ``usage`` come with its end."""

    text: str = ""
    reasoning: str = ""
    coat: dict[str, Any] = field(default_factory=dict)
    usage: dict[str, Any] = field(default_factory=dict)
    finish_reason: str | None = None

    @property
    def done(self) -> bool:
        """Whether it is complete."""
        return self.finish_reason is not None

    def take(self, chunk: Mapping[str, Any]) -> bool:
        """Add one event of the stream; whether there is something new to show."""
        self.coat = chunk.get("coat") or self.coat
        self.usage = chunk.get("usage") or self.usage
        before = (self.text, self.reasoning, self.finish_reason)
        for choice in chunk.get("choices", ()):
            delta = choice.get("delta", {})
            self.text += delta.get("content") or ""
            self.reasoning += delta.get("reasoning_content") or ""
            self.finish_reason = choice.get("finish_reason") or self.finish_reason
        return before != (self.text, self.reasoning, self.finish_reason)


class Models:
    """The models at one address, for every visitor; each call brings the visitor's own key."""

    def __init__(self, url: str) -> None:
        self._url = f"{url.rstrip('/')}/v1"
        self._http = httpx.AsyncClient(timeout=TIMEOUT, limits=LIMITS, trust_env=False)

    async def listed(self, key: str) -> list[dict[str, Any]]:
        """What the key may ask, the bare base first.

        Raises:
            AnswerError: they cannot be listed.
        """
        try:
            answer = await self._http.get(f"{self._url}/models", headers=_bearer(key))
        except httpx.HTTPError as error:
            raise AnswerError(sentences.LOST) from error
        if answer.status_code != 200:
            raise AnswerError(_refusal(answer.status_code, answer.content))
        return list(answer.json()["data"])

    async def ask(self, key: str, asked: Asked) -> AsyncGenerator[Answer, None]:
        """The answer each time that there is more of it; the same object, which grows.

        Raises:
            AnswerError: it was refused, or broke off.
        """
        found = Answer()
        try:
            request = self._http.stream(
                "POST", f"{self._url}/chat/completions", json=asked.body(), headers=_bearer(key)
            )
            async with request as stream:
                if stream.status_code != 200:
                    raise AnswerError(_refusal(stream.status_code, await stream.aread()))
                async for line in stream.aiter_lines():
                    if line.startswith("data: ") and found.take(_event(line)):
                        yield found
        except httpx.HTTPError as error:
            raise AnswerError(sentences.BROKEN_OFF if found.text else sentences.LOST) from error
        if not found.done:
            raise AnswerError(sentences.BROKEN_OFF)
        yield found

    async def whole(self, key: str, asked: Asked) -> Answer:
        """The complete answer; raises as :meth:`ask`."""
        found = Answer()
        async for answer in self.ask(key, asked):
            found = answer
        return found


class Coming:
    """An answer on its way: asked for at once, read by a task of its own, until *stopped* is set.

    Then the request behind it is closed, and the engine lets it go.
    """

    def __init__(self, answers: AsyncGenerator[Answer, None], stopped: asyncio.Event) -> None:
        self._answers, self._news = answers, asyncio.Queue[Answer | None]()
        self._reading = asyncio.create_task(self._read())
        self._stopping = asyncio.create_task(self._stop(stopped))

    async def newest(self) -> AsyncGenerator[Answer, None]:
        """The answer each time that there is more of it; several pieces that have come together are one.

        Raises:
            AnswerError: it was refused, or broke off.
        """
        try:
            ended = False
            while not ended and (answer := await self._news.get()) is not None:
                while not self._news.empty():
                    ended = self._news.get_nowait() is None
                yield answer
            if self._reading.done() and not self._reading.cancelled() and (problem := self._reading.exception()):
                raise problem
        finally:
            self._stopping.cancel()
            self._reading.cancel()

    async def _read(self) -> None:
        try:
            async for answer in self._answers:
                self._news.put_nowait(answer)
        finally:
            await self._answers.aclose()
            asyncio.get_running_loop().call_soon(self._news.put_nowait, None)  # once this task has its outcome

    async def _stop(self, stopped: asyncio.Event) -> None:
        await stopped.wait()
        self._reading.cancel()


def clip_part(wav: bytes) -> dict[str, Any]:
    """A clip as a part of a user's turn."""
    return {"type": "input_audio", "input_audio": {"data": base64.b64encode(wav).decode(), "format": "wav"}}


def clip_bytes(wav: bytes) -> int:
    """How much of a request a clip takes."""
    return 4 * ((len(wav) + 2) // 3)


def _event(line: str) -> dict[str, Any]:
    text = line.removeprefix("data: ")
    event: dict[str, Any] = {} if text == "[DONE]" else json.loads(text)
    if "error" in event:
        raise AnswerError(sentences.about_answer(500, event["error"]["message"]))
    return event


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def _refusal(status: int, body: bytes) -> str:
    try:
        return sentences.about_answer(status, json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"The models answered with status {status}. Try again in a moment."
