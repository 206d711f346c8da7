"""From what a client sent to what the engine is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from coat_ray.inference.requests import Request, Sampling
from coat_ray.model.backbones.base import AUDIO_MARK
from coat_ray.tenancy.errors import Denied
from coat_ray.tenancy.rates import take
from serve.access import Caller
from serve.openai.clips import Clip, decoded_clip, encoded_bytes
from serve.openai.errors import ApiError
from serve.openai.names import model_for, source_of
from serve.openai.schema import ChatRequest, Message, TextPart, parsed
from serve.openai.serving import Serving

OWNER = "/owner"
"""Whose cached clips an owner's key may use; no tenant is called so."""


@dataclass(frozen=True)
class Question:
    """A request for the engine, its clips as they came, and the name of the model."""

    request: Request
    clips: Sequence[Clip]
    model: str


def chat_question(serving: Serving, asking: Caller, body: bytes) -> tuple[Question, ChatRequest]:
    """A chat request, checked and unpacked, its audio counted.

    Raises:
        ApiError: what cannot be asked.
        Denied: too much audio in this minute.
        RequestRefused: sampling that cannot be.
    """
    asked = parsed(ChatRequest, body, serving.limits.values)
    model = model_for(serving, asking, asked.model)
    sampling = _sampling(asked, serving)
    messages, clips = _unpacked(asked.messages, serving)
    count_audio(serving, asking, clips)
    extension = asked.coat
    request = Request(
        messages,
        [clip.signal for clip in clips],
        source_of(serving, model),
        extension.mode,
        sampling,
        asking.principal.tenant or OWNER,
        extension.columns,
        features=extension.teachers,
    )
    return Question(request, clips, model.id), asked


def count_audio(serving: Serving, asking: Caller, clips: Sequence[Clip]) -> None:
    """Count the seconds of clips against the tenant's limit and towards its usage.

    Raises:
        Denied: too much in this minute.
    """
    tenant, seconds = asking.principal.tenant, sum(clip.seconds for clip in clips)
    if tenant is None or not seconds:
        return
    with asking.recorded("audio"):
        denial = take(serving.platform.database, tenant, requests=0, audio_seconds=seconds)
        if denial is not None:
            raise Denied(denial)
    serving.audio.add(tenant, seconds)


def check_text(text: str, serving: Serving, param: str) -> str:
    """A text that may stand in a prompt.

    Raises:
        ApiError: 400: too long, or it contains the mark that stands for a clip.
    """
    if len(text) > serving.limits.text:
        raise ApiError(400, f"{param}: a text has at most {serving.limits.text:,} characters", "too_long", param=param)
    if AUDIO_MARK in text:
        message = f"{param}: a text may not contain {AUDIO_MARK}; send the clip as a part of its own"
        raise ApiError(400, message, "invalid_value", param=param)
    return text


def _sampling(asked: ChatRequest, serving: Serving) -> Sampling:
    most = asked.max_completion_tokens if asked.max_completion_tokens is not None else asked.max_tokens
    return Sampling(
        max_tokens=serving.limits.max_tokens if most is None else most,
        temperature=asked.temperature or 0.0,
        top_p=1.0 if asked.top_p is None else asked.top_p,
        seed=asked.seed,
        stop=tuple(asked.stop),
    )


def _unpacked(messages: Sequence[Message], serving: Serving) -> tuple[list[dict[str, str]], list[Clip]]:
    """Messages with marks for their clips, and the clips in order."""
    found: list[dict[str, str]] = []
    clips: list[Clip] = []
    for i, message in enumerate(messages):
        texts = []
        for j, part in enumerate(message.content):
            param = f"messages.{i}.content.{j}"
            if isinstance(part, TextPart):
                texts.append(check_text(part.text, serving, param))
                continue
            if message.role != "user":
                raise ApiError(400, f"{param}: only a user's turn has audio", "invalid_value", param=param)
            if len(clips) == serving.limits.clips:
                most = serving.limits.clips
                raise ApiError(400, f"{param}: a request has at most {most} clips", "too_many_clips", param=param)
            clips.append(decoded_clip(encoded_bytes(part, param), serving, param))
            texts.append(AUDIO_MARK)
        role = "system" if message.role == "developer" else message.role
        found.append({"role": role, "content": "\n".join(texts)})
    return found, clips
