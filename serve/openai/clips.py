"""Clips in requests: from base64 to signals, at most as much as the base hears, within bounded memory."""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from coat_ray.audio import AudioError, load_audio
from coat_ray.audio.errors import NotAudioError, TooLargeError, TooLongError
from serve.openai.errors import ApiError
from serve.openai.schema import AudioUrlPart, InputAudioPart
from serve.openai.serving import Serving

logger = logging.getLogger(__name__)

FORMATS = ("wav", "mp3", "flac", "ogg", "opus", "aac", "m4a", "mp4", "mpeg", "mpga", "webm")
"""What a part may say that it is; what it is, is seen in its bytes."""

_STATUS = {NotAudioError: 415, TooLargeError: 413}


@dataclass(frozen=True)
class Clip:
    """Mono float32 (n,) at the front end's rate, without what the base does not hear of it, and how long it was."""

    signal: np.ndarray
    seconds: float
    heard_seconds: float

    @property
    def cut(self) -> bool:
        """Whether there was more than is heard."""
        return self.seconds > self.heard_seconds

    def shown(self) -> dict[str, float]:
        """For whoever sent it."""
        return {"seconds": round(self.seconds, 3), "heard_seconds": round(self.heard_seconds, 3)}


def encoded_bytes(part: InputAudioPart | AudioUrlPart, fetched: Mapping[str, bytes], param: str) -> bytes:
    """The file in a part of a message, or the one *fetched* from its URL.

    Raises:
        ApiError: 400: no base64, or a data: URL without it; 415: a format that is none of :data:`FORMATS`.
    """
    if isinstance(part, InputAudioPart):
        if part.input_audio.format.lower() not in FORMATS:
            raise ApiError(
                415, f"{param}: the format is one of {', '.join(FORMATS)}", "unsupported_format", param=param
            )
        return _decoded(part.input_audio.data, param)
    if part.audio_url.is_remote:
        return fetched[part.audio_url.url]
    head, comma, data = part.audio_url.url.partition(",")
    if not comma or not head.lower().endswith(";base64"):
        raise ApiError(400, f"{param}: a data: URL reads data:audio/wav;base64,…", "invalid_url", param=param)
    return _decoded(data, param)


def decoded_clip(data: bytes, serving: Serving, param: str) -> Clip:
    """What the base hears of a file.

    Raises:
        ApiError: 400, 413 or 415, with what is wrong.
    """
    front = serving.engine.front
    try:
        signal = load_audio(data, front.sample_rate, serving.audio_limits)
    except AudioError as error:
        hint = f"; this model hears {serving.heard_seconds:g} s" if isinstance(error, TooLongError) else ""
        message = f"{param}: {error}{hint}"
        raise ApiError(_STATUS.get(type(error), 400), message, f"audio_{error.reason}", param=param) from error
    except Exception as error:
        logger.exception("a decoder failed on a clip")  # a crafted file is its sender's fault, whatever it breaks
        raise ApiError(400, f"{param}: this audio cannot be decoded", "audio_unusable", param=param) from error
    seconds = len(signal) / front.sample_rate
    heard = signal[: front.window_samples].copy()  # a view would keep the rest
    return Clip(heard, seconds, len(heard) / front.sample_rate)


def _decoded(text: str, param: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ApiError(400, f"{param}: this is not base64", "invalid_base64", param=param) from error
