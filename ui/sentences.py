"""Errors as sentences for visitors."""

from __future__ import annotations

import re

from coat_ray.audio import AudioError
from coat_ray.audio.errors import NotAudioError, TooLargeError, TooLongError
from coat_ray.client import PlatformError

EMPTY_QUESTION = "Type a question first, for example: what is heard?"
NO_CLIP = "Add a clip first: record one, upload one, or take an example."
LOST = "The connection to the models was lost. Your conversation is kept: press Retry in a moment."
STOPPED = "Stopped."
GONE = "You are signed out. Reload the page to sign in again."
BROKEN_OFF = "The answer broke off. What came so far is kept; press Retry to ask again."
NO_PLATFORM = "The platform does not answer. Try again in a moment."
SIGNED_OUT = "Your key is no longer accepted. Sign out, and sign in with a valid one."

_PARAM = re.compile(r"^messages\.\d+\.content(\.\d+)?: ")
_AUDIO: dict[type[AudioError], str] = {
    NotAudioError: "This file is not audio that can be read here. WAV, FLAC, MP3, M4A, OGG, Opus and WebM can.",
    TooLargeError: "This file is too large.",
}


def about_clip(error: Exception, most_seconds: float) -> str:
    """Why a clip cannot be used."""
    if not isinstance(error, AudioError):
        return NO_CLIP  # gone from disk after a while, or never this visitor's
    if isinstance(error, TooLongError):
        return f"This clip is too long: at most {most_seconds:g} s. Cut it, and try again."
    return _AUDIO.get(type(error), f"This clip cannot be used: {str(error).partition(': ')[2] or error}.")


def about_answer(status: int, message: str) -> str:
    """What the API of the models refused."""
    if status == 401:
        return SIGNED_OUT
    sentence = _PARAM.sub("", message).strip()
    return f"{sentence[:1].upper()}{sentence[1:]}".rstrip(".") + "."


def about_platform(error: PlatformError) -> str:
    """What the platform refused, or that it cannot be reached."""
    if error.status is None:
        return NO_PLATFORM
    return about_answer(error.status, str(error))
