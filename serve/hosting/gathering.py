"""Events of one answer on their way from the engine's thread to an event loop: the first at once, later ones together.

A message between processes costs time, and so does waking a loop, whose thread then takes turns with the engine's.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

from coat_ray.inference.handle import Event
from coat_ray.inference.requests import Delta


class Gathering:
    """The events of one request. Made on the event loop, which alone takes them.

    Args:
        seconds: how long the pieces after the first are waited with, for others to come along.
    """

    def __init__(self, seconds: float) -> None:
        self._loop, self._seconds = asyncio.get_running_loop(), seconds
        self._lock = threading.Lock()
        self._events: list[Event] = []
        self._told = asyncio.Event()
        self._awaited = True

    def put(self, event: Event) -> None:
        """Add an event; on any thread. The loop wakes if it waits for one, and for the last."""
        with self._lock:
            self._events.append(event)
            wakes, self._awaited = self._awaited or not isinstance(event, Delta), False
        if wakes:
            self._loop.call_soon_threadsafe(self._told.set)

    async def take(self) -> list[Event]:
        """What has come, in order, at least one event; text of one kind as one piece."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._seconds):
                await self._told.wait()  # for the first event, or the last; others come meanwhile
        while not (come := self._here()):
            await self._told.wait()
        return _joined(come)

    def _here(self) -> list[Event]:
        """What has come; where nothing has, the next event wakes the loop."""
        with self._lock:
            self._told.clear()
            come, self._events = self._events, []
            self._awaited = not come
            return come


def _joined(events: list[Event]) -> list[Event]:
    joined: list[Event] = []
    for event in events:
        last = joined[-1] if joined else None
        if isinstance(event, Delta) and isinstance(last, Delta) and event.reasoning == last.reasoning:
            joined[-1] = Delta(last.text + event.text, last.reasoning)
        else:
            joined.append(event)
    return joined
