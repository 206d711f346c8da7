"""From what a client sent to what the engine is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from coat_ray.inference.requests import Request, Sampling
from coat_ray.model.backbones.base import AUDIO_MARK
from serve.access import Caller
from serve.openai.clips import Clip, decoded_clip, encoded_bytes
from serve.openai.errors import ApiError
from serve.openai.metering import OWNER, count_audio
from serve.openai.names import Model, model_for, source_of
from serve.openai.schema import AudioUrlPart, ChatRequest, InputAudioPart, Message, TextPart, parsed
from serve.openai.serving import Serving


@dataclass(frozen=True)
class Question:
    """A request for the engine, its clips as they came, and the name of the model."""

    request: Request
    clips: Sequence[Clip]
    model: str


@dataclass(frozen=True)
class Asked:
    """A chat request that was read: its model, and the URLs of clips that must be fetched, with where they stand."""

    chat: ChatRequest
    model: Model
    remote: Mapping[str, str]


def read_chat(serving: Serving, asking: Caller, body: bytes) -> Asked:
    """A chat request, read and looked at; nothing is decoded yet.

    Raises:
        ApiError: what cannot be asked.
    """
    asked = parsed(ChatRequest, body, serving.limits.values)
    model = model_for(serving, asking, asked.model)
    parts = dict(_audio_parts(asked.messages, serving))
    if asking.principal.require_audio and not parts:
        message = "this key is for questions about audio: a request needs a clip, as input_audio or audio_url"
        raise ApiError(400, message, "audio_required", param="messages")
    urls = ((param, part.audio_url) for param, part in parts.items() if isinstance(part, AudioUrlPart))
    return Asked(asked, model, {url.url: param for param, url in urls if url.is_remote})


def chat_question(serving: Serving, asking: Caller, read: Asked, fetched: Mapping[str, bytes]) -> Question:
    """The same unpacked, its audio counted.

    Raises:
        ApiError: what cannot be asked.
        Denied: too much audio in this minute.
        RequestRefused: sampling that cannot be.
    """
    asked, model = read.chat, read.model
    sampling = _sampling(asked, serving)
    messages, clips = _unpacked(asked.messages, fetched, serving)
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
        stream=bool(asked.stream),
    )
    return Question(request, clips, model.id)


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


def _audio_parts(messages: Sequence[Message], serving: Serving) -> Iterator[tuple[str, InputAudioPart | AudioUrlPart]]:
    """Parts with audio, and where they stand."""
    count = 0
    for i, message in enumerate(messages):
        for j, part in enumerate(message.content):
            if isinstance(part, TextPart):
                continue
            param, most = f"messages.{i}.content.{j}", serving.limits.clips
            if message.role != "user":
                raise ApiError(400, f"{param}: only a user's turn has audio", "invalid_value", param=param)
            if count == most:
                raise ApiError(400, f"{param}: a request has at most {most} clips", "too_many_clips", param=param)
            count += 1
            yield param, part


def _unpacked(
    messages: Sequence[Message], fetched: Mapping[str, bytes], serving: Serving
) -> tuple[list[dict[str, str]], list[Clip]]:
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
            clips.append(decoded_clip(encoded_bytes(part, fetched, param), serving, param))
            texts.append(AUDIO_MARK)
        role = "system" if message.role == "developer" else message.role
        found.append({"role": role, "content": "\n".join(texts)})
    return found, clips
