"""Bodies on their way in: within their bound, in time, and not more of them at once than there is room for."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeVar

from fastapi import Request

from serve.access import Caller
from serve.doorkeeper import announced
from serve.openai.errors import ApiError
from serve.openai.limits import ServingLimits

T = TypeVar("T")


class Intake:
    """Counts the bytes of bodies that are held, by tenant; belongs to the event loop. None is the platform's owner."""

    def __init__(self, limits: ServingLimits) -> None:
        self._limits = limits
        self._held: Counter[str | None] = Counter()

    @property
    def held(self) -> int:
        """Bytes of all bodies that are read or unpacked now."""
        return self._held.total()

    @asynccontextmanager
    async def room(self, needed: int, asking: Caller) -> AsyncIterator[None]:
        """Hold room for *needed* bytes.

        Raises:
            ApiError: 503 where there is none now.
        """
        limits, tenant = self._limits, asking.principal.tenant
        if self.held + needed > limits.held_bytes or self._held[tenant] + needed > limits.held_bytes // 2:
            raise ApiError(503, "too many large requests come in at once; ask again", "busy", retry_after=1)
        self._held[tenant] += needed
        try:
            yield
        finally:
            self._held[tenant] -= needed
            if not self._held[tenant]:
                del self._held[tenant]

    def room_for(self, request: Request, asking: Caller) -> AbstractAsyncContextManager[None]:
        """Hold room for a body, as much as it says that it needs, or else as it may have; raises as :meth:`room`."""
        return self.room(announced(request.headers) or self._limits.body_bytes, asking)

    async def in_time(self, read: Callable[[], Awaitable[T]]) -> T:
        """What *read* gives.

        Raises:
            ApiError: 408 where a body comes too slowly.
        """
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                return await read()
        except TimeoutError as error:
            allowed = f"{self._limits.body_seconds:g} s"
            raise ApiError(408, f"the request did not arrive within {allowed}", "timeout") from error


def check_kind(request: Request, kind: str) -> None:
    """Refuse a body of another media type.

    Raises:
        ApiError: 415.
    """
    found = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if found != kind:
        raise ApiError(415, f"send the body as {kind}; its content type is {found[:80]!r}", "unsupported_media_type")
