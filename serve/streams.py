"""How many answers without an end one tenant may hold open, so that there is room for others."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

MAX_STREAMS = 8
"""For each tenant, in one process."""


class TooManyStreams(RuntimeError):
    """A tenant holds as many open as it may."""


class Streams:
    """Counts of open streams by tenant; None is the platform's owner."""

    def __init__(self) -> None:
        self._open: Counter[str | None] = Counter()
        self._lock = threading.Lock()

    def begin(self, tenant: str | None) -> None:
        """Count one more.

        Raises:
            TooManyStreams: there are as many as there may be.
        """
        with self._lock:
            if self._open[tenant] >= MAX_STREAMS:
                raise TooManyStreams(f"{MAX_STREAMS} logs are followed already, and no more at once; end one of them")
            self._open[tenant] += 1

    def end(self, tenant: str | None) -> None:
        """Count one less."""
        with self._lock:
            self._open[tenant] -= 1
            if not self._open[tenant]:
                del self._open[tenant]


class Stream(StreamingResponse):
    """Text as it comes. *done* is called once, however it ends."""

    def __init__(
        self, lines: AsyncIterator[str], done: Callable[[], None], media_type: str = "text/plain; charset=utf-8"
    ) -> None:
        super().__init__(lines, media_type=media_type)
        self._done = done

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._done()
