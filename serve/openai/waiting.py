"""A request in the engine, seen from the event loop; given up when its client hangs up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fastapi import Request as HttpRequest

from coat_ray.inference.handle import Event
from coat_ray.inference.protocol import Running
from coat_ray.inference.requests import Delta, Request, Result
from serve.openai.errors import ClientGone
from serve.openai.metering import count_tokens
from serve.openai.serving import Serving


class Answering:
    """Events of one request, in order. Make it on the event loop; begin it on any thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._handle: Running | None = None

    def begin(self, serving: Serving, request: Request) -> None:
        """Submit it, and count its tokens when it is answered; raises as ``AnsweringEngine.submit``."""

        def told(event: Event) -> None:
            if isinstance(event, Result):
                count_tokens(serving, request.tenant, event.usage)
            self._told(event)

        self._handle = serving.engine.submit(request, told)

    def cancel(self) -> None:
        """Let the engine forget it; of no effect when it has ended."""
        if self._handle is not None:
            self._handle.cancel()

    async def event(self) -> Delta | Result:
        """The next event.

        Raises:
            Exception: why there is no (whole) answer.
        """
        found = await self._events.get()
        if isinstance(found, Exception):
            raise found
        return found

    async def events(self, first: Delta | Result) -> AsyncIterator[Delta | Result]:
        """From *first*, which came already, to the result."""
        yield first
        while not isinstance(first, Result):
            first = await self.event()
            yield first

    async def first(self, http: HttpRequest) -> Delta | Result:
        """The first event, while the client waits.

        Raises:
            ClientGone: it does not; the request is cancelled.
        """
        return await self._while_there(http, whole=False)

    async def result(self, http: HttpRequest) -> Result:
        """The whole answer, while the client waits.

        Raises:
            ClientGone: it does not; the request is cancelled.
        """
        found = await self._while_there(http, whole=True)
        assert isinstance(found, Result)
        return found

    async def _while_there(self, http: HttpRequest, *, whole: bool) -> Delta | Result:
        answer = asyncio.ensure_future(self._whole() if whole else self.event())
        gone = asyncio.ensure_future(_until_gone(http))
        answered = False
        try:
            await asyncio.wait((answer, gone), return_when=asyncio.FIRST_COMPLETED)
            answered = answer.done()
        finally:
            gone.cancel()
            if not answered:
                answer.cancel()
                self.cancel()
        if not answered:
            raise ClientGone
        return answer.result()

    async def _whole(self) -> Delta | Result:
        while not isinstance(found := await self.event(), Result):
            pass
        return found

    def _told(self, event: Event) -> None:
        self._loop.call_soon_threadsafe(self._events.put_nowait, event)


async def _until_gone(http: HttpRequest) -> None:
    while (await http.receive())["type"] != "http.disconnect":
        pass
