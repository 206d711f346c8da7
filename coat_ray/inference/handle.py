"""What the caller of a request holds while it is answered."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue

from coat_ray.inference.requests import Delta, Result

logger = logging.getLogger(__name__)

Event = Delta | Result | Exception
"""Pieces of text as they become final; then, once and last, the whole answer or why there is none."""


class Handle:
    """One request on its way: iterate over its text, wait for its result, or cancel it. Usable on any thread.

    Args:
        on_event: called with each event on the engine's thread, which it must not keep waiting; what it raises cancels
            the request.
    """

    def __init__(self, on_event: Callable[[Event], None] | None = None) -> None:
        self._on_event = on_event
        self._events: SimpleQueue[Event] = SimpleQueue()
        self._ended = threading.Event()
        self._outcome: Result | Exception | None = None
        self._cancelled = threading.Event()
        self._wake: Callable[[], None] = lambda: None

    def __iter__(self) -> Iterator[Delta]:
        """Pieces of text until the answer is complete; for one reader, once.

        Raises:
            RequestCancelled, EngineStopped, AdapterRefused, AdapterTooLarge: why the answer ends early or never began.
        """
        while isinstance(event := self._events.get(), Delta):
            yield event
        if isinstance(event, Exception):
            raise event

    def result(self, timeout: float | None = None) -> Result:
        """The complete answer.

        Raises:
            TimeoutError: not within *timeout* seconds.
            RequestCancelled, EngineStopped, AdapterRefused, AdapterTooLarge: there is none.
        """
        if not self._ended.wait(timeout):
            raise TimeoutError(f"no complete answer within {timeout} s")
        if isinstance(self._outcome, Result):
            return self._outcome
        assert self._outcome is not None
        raise self._outcome

    @property
    def done(self) -> bool:
        """Whether there is a result, or a reason that there is none."""
        return self._ended.is_set()

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for the answer any more."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Stop working on it; of no effect on one that has ended."""
        self._cancelled.set()
        self._wake()

    def when_cancelled(self, wake: Callable[[], None]) -> None:
        """For the engine: what to call when the caller cancels."""
        self._wake = wake

    def emit(self, event: Event) -> None:
        """For the engine: tell the caller; after a result or an error nothing more is told."""
        if self._ended.is_set():
            return
        self._events.put(event)
        if not isinstance(event, Delta):
            self._outcome = event
            self._ended.set()
        if self._on_event is None:
            return
        try:
            self._on_event(event)
        except Exception:
            logger.exception("a listener failed; its request is cancelled")
            self._cancelled.set()
