"""Answers of the chat endpoint in OpenAI's shapes: whole, or as the events of a stream."""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any

from anyio import to_thread

from coat_ray.inference.requests import Delta, Result, Usage
from coat_ray.inference.teachers import beside_teachers
from serve.openai.errors import explained
from serve.openai.questions import Question
from serve.openai.schema import ChatRequest
from serve.openai.serving import Serving
from serve.openai.waiting import Answering

logger = logging.getLogger(__name__)


class ChatAnswer:
    """One answer on its way to a client."""

    def __init__(self, question: Question, asked: ChatRequest, serving: Serving) -> None:
        self._question, self._asked, self._serving = question, asked, serving
        self._id, self._created = f"chatcmpl-{secrets.token_hex(12)}", int(time.time())
        self._counted = bool(asked.stream_options and asked.stream_options.include_usage)

    async def whole(self, result: Result) -> dict[str, Any]:
        """A ``chat.completion``."""
        message: dict[str, Any] = {"role": "assistant", "content": result.text, "refusal": None}
        if result.reasoning:
            message["reasoning_content"] = result.reasoning
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": result.finish_reason}
        return {
            **self._head("chat.completion"),
            "choices": [choice],
            "usage": shown_usage(result.usage),
            **await self._extension(result),
        }

    async def lines(self, answering: Answering, first: Delta | Result) -> AsyncIterator[str]:
        """Server-sent events: the role first, ``[DONE]`` last, and after what breaks an error instead."""
        yield self._chunk({"role": "assistant", "content": ""})
        try:
            async for event in answering.events(first):
                if isinstance(event, Delta):
                    field = "reasoning_content" if event.reasoning else "content"
                    yield self._chunk({field: event.text})
                else:
                    for line in await self._ending(event):
                        yield line
        except Exception as problem:  # noqa: BLE001 - the status is sent already; the stream itself must tell
            yield _line(explained(problem).body())

    async def _ending(self, result: Result) -> list[str]:
        lines = [self._chunk({}, result.finish_reason, **await self._extension(result))]
        if self._counted:
            lines.append(_line({**self._head(_CHUNK), "choices": [], "usage": shown_usage(result.usage)}))
        return [*lines, "data: [DONE]\n\n"]

    def _chunk(self, delta: dict[str, str], finish_reason: str | None = None, **more: Any) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        counted = {"usage": None} if self._counted else {}
        return _line({**self._head(_CHUNK), "choices": [choice], **counted, **more})

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self._id, "object": kind, "created": self._created, "model": self._question.model}

    async def _extension(self, result: Result) -> dict[str, Any]:
        """``coat``: what was asked for, and always what was not heard."""
        wanted = self._asked.coat
        found: dict[str, Any] = {}
        if wanted.timings:
            known = {name: value for name, value in asdict(result.timings).items() if value is not None}
            found["timings"] = {name: round(value, 6) for name, value in known.items()}
        if wanted.columns:
            found["thinking"] = result.thinking
        if wanted.teachers:
            found |= await self._taught(result)
        if any(clip.cut for clip in self._question.clips):
            found["clips"] = [clip.shown() for clip in self._question.clips]
        return {"coat": found} if found else {}

    async def _taught(self, result: Result) -> dict[str, Any]:
        """Both views, the text being sent already; without teachers where they fail, which is no failed answer."""
        clips, asked, serving = self._question.clips, self._question.request, self._serving
        if not result.features or len(clips) != 1 or asked.adapter is None:  # no block about exactly one clip
            return {"teachers": {}}
        arguments = (serving.listener, asked.adapter.folder, clips[0].signal, result.features, asked.thinking_columns)
        try:
            thinking, teachers = await to_thread.run_sync(beside_teachers, *arguments, limiter=serving.listening)
        except Exception:
            logger.exception("the teachers failed on a clip")
            return {"teachers": {}}
        return {"thinking": thinking, "teachers": teachers}


_CHUNK = "chat.completion.chunk"


def shown_usage(usage: Usage) -> dict[str, Any]:
    """Tokens as OpenAI counts them; the positions of the block are part of the prompt."""
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
        "prompt_tokens_details": {"audio_tokens": usage.audio, "cached_tokens": 0, "block_tokens": usage.block},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


def _line(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n"
