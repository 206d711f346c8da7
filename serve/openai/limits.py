"""What one request may bring."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ServingLimits:
    """Bounds of the OpenAI API.

    Args:
        body_bytes: of one request, audio as base64 included.
        held_bytes: bodies of all requests that are read or unpacked now; of these a tenant may have half.
        body_seconds: how long a body may take to arrive.
        values: objects, lists and their members in one JSON body.
        text: characters of one part of a message.
        clips: in one request.
        margin_seconds: a clip may be so much longer than what the base hears of it; the rest is cut off, and said.
        max_tokens: of an answer where the request does not say.
        transcript_tokens: of a transcript.
        threads: requests that are unpacked at once.
        remote_hosts: where ``audio_url`` may point to, as ``host``, ``host:port`` or ``http://host:port``; nowhere
            by default.
        fetch_seconds: how long one clip may take to arrive from there.
    """

    body_bytes: int = 16 * 2**20
    held_bytes: int = 128 * 2**20
    body_seconds: float = 60.0
    values: int = 20_000
    text: int = 100_000
    clips: int = 8
    margin_seconds: float = 30.0
    max_tokens: int = 256
    transcript_tokens: int = 448
    threads: int = 2
    remote_hosts: tuple[str, ...] = ()
    fetch_seconds: float = 10.0


DEFAULT_LIMITS = ServingLimits()
