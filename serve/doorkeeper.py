"""What is looked at before a body is read: whether anybody with something like a key sends it, and how long it is."""

from __future__ import annotations

import re

from fastapi import HTTPException
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from coat_ray.tenancy.keys import has_form
from serve import errors
from serve.access import key_in

MAX_BODY_BYTES = 4 * 2**20

_UPLOAD = re.compile(r"/api/v1/corpora/[^/]+")
"""Has bounds of its own, with PUT."""

_PROOF = re.compile(r"/api/v1/leases/[^/]+/(heartbeat|release)")
"""The token in the body is the key."""


class Doorkeeper:
    """ASGI middleware: bodies of those who show no key are not read, and no body of more than *most* bytes."""

    def __init__(self, app: ASGIApp, most: int = MAX_BODY_BYTES) -> None:
        self._app, self._most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, with as much of its body as it may have."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if not has_form(key_in(headers)) and not _PROOF.fullmatch(scope["path"]):
            await self._app(scope, _nothing_of(receive), send)  # the route refuses, and its denial is on record
        elif scope["method"] == "PUT" and _UPLOAD.fullmatch(scope["path"]):
            await self._app(scope, receive, send)
        elif announced(headers) > self._most:
            sentence = _too_large(self._most)
            await errors.error(413, sentence, "too_large", {"Connection": "close"})(scope, receive, send)
        else:
            await self._app(scope, _at_most(receive, self._most), send)


def announced(headers: Headers) -> int:
    """How long a body says that it is; 0 where it does not say."""
    length = headers.get("content-length", "")
    if not length.isascii() or not length.isdecimal():
        return 0
    return int(length[:20])


def _too_large(most: int) -> str:
    return f"a request has at most {most:,} bytes; send less"


def _nothing_of(receive: Receive) -> Receive:
    """A body without content; what comes after it is the client's."""
    empty: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def received() -> Message:
        return empty.pop() if empty else await receive()

    return received


def _at_most(receive: Receive, most: int) -> Receive:
    """The body as it comes, also in pieces of which nobody said how many there are.

    Raises:
        HTTPException: 413, where it becomes too long.
    """
    total = 0

    async def received() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > most:
            raise HTTPException(413, _too_large(most), {"Connection": "close"})
        return message

    return received
