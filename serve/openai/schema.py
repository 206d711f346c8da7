"""Requests of the chat endpoint as data. What OpenAI's API knows beyond this is ignored; what is ours is not."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from coat_ray.inference.requests import Mode
from serve.openai.errors import ApiError

MOST_MESSAGES = 64
MOST_PARTS = 64
MOST_COLUMNS = 200
COLUMNS = 50
"""Columns in time of what is read in a block, where the request says only that it wants to see it."""


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class TextPart(_Lenient):
    """Text."""

    type: Literal["text"]
    text: str


class InputAudio(_Lenient):
    """A file as base64, and what its sender says that it is."""

    data: str
    format: str


class InputAudioPart(_Lenient):
    """A clip inside the request."""

    type: Literal["input_audio"]
    input_audio: InputAudio


class AudioUrl(_Lenient):
    """Where a clip lies."""

    url: str

    @property
    def is_remote(self) -> bool:
        """Whether it is not in the URL itself."""
        return self.url[:5].lower() != "data:"


class AudioUrlPart(_Lenient):
    """A clip as a URL."""

    type: Literal["audio_url"]
    audio_url: AudioUrl


Part = Annotated[TextPart | InputAudioPart | AudioUrlPart, Field(discriminator="type")]


def _parts(content: Any) -> Any:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [] if content is None else content


def _several(stop: Any) -> Any:
    return [stop] if isinstance(stop, str) else stop or []


class Message(_Lenient):
    """One turn."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[list[Part], BeforeValidator(_parts), Field(max_length=MOST_PARTS)] = []


class StreamOptions(_Lenient):
    """What a stream ends with."""

    include_usage: bool = False


class Extension(BaseModel):
    """``coat``: what only this platform has. An unknown field is an error here."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Mode = Mode.BLOCK
    timings: bool = False
    thinking: bool | Annotated[int, Field(ge=0, le=MOST_COLUMNS)] = False
    teachers: bool = False

    @property
    def columns(self) -> int:
        """Columns to read the block in; 0: do not read it."""
        return COLUMNS if self.thinking is True else int(self.thinking) or (COLUMNS if self.teachers else 0)


class ChatRequest(_Lenient):
    """The body of ``POST /v1/chat/completions``."""

    model: Annotated[str, Field(max_length=300)]
    messages: Annotated[list[Message], Field(min_length=1, max_length=MOST_MESSAGES)]
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: Annotated[list[str], BeforeValidator(_several), Field(max_length=16)] = []
    n: Literal[1] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    coat: Extension = Extension()


M = TypeVar("M", bound=BaseModel)


def parsed(kind: type[M], body: bytes, most_values: int) -> M:
    """A JSON body as data.

    The number of values is bounded before anything is made of them: each one takes a hundred times its two bytes.

    Raises:
        ApiError: 400, with the name of the field.
    """
    if sum(map(body.count, (b"{", b"[", b","))) > most_values:
        raise ApiError(400, f"a request has at most {most_values:,} values; send less", "too_many_values")
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise invalid(error) from error


def invalid(error: ValidationError) -> ApiError:
    """The first thing that is wrong, and where."""
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    param = ".".join(map(str, first["loc"]))[:200] or None
    return ApiError(400, f"{param or 'the body'}: {first['msg']}"[:1000], "invalid_request", param=param)
