"""What whoever serves asks of an engine, whichever it is and wherever it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from coat_ray.inference.handle import Event
from coat_ray.inference.requests import Request


class Hears(Protocol):
    """How an engine wants its clips."""

    @property
    def sample_rate(self) -> int:
        """Of the clips in a request, Hz."""

    @property
    def window_samples(self) -> int:
        """Samples of a clip that are heard; the rest is cut."""


class Running(Protocol):
    """A request that was taken."""

    def cancel(self) -> None:
        """Stop working on it; of no effect on one that has ended."""


class Load(Protocol):
    """What an engine does now."""

    @property
    def waiting(self) -> int:
        """Requests that were taken and do not run."""

    @property
    def running(self) -> int:
        """Requests that run."""


class AnsweringEngine(Protocol):
    """Takes requests and tells their events; usable on any thread."""

    @property
    def front(self) -> Hears:
        """How clips must come."""

    @property
    def alive(self) -> bool:
        """Whether requests are taken."""

    def submit(self, request: Request, on_event: Callable[[Event], None]) -> Running:
        """Take a request. *on_event* is told each piece of text and at last the result, or why there is none.

        Raises:
            RequestRefused, AdapterRefused: it cannot be answered; the message says why.
            QueueFull, EngineStopped: not here and now.
        """


class OwnEngine(AnsweringEngine, Protocol):
    """An engine in this process, which ends it."""

    def stats(self) -> Load:
        """A look from outside."""

    def drain(self, timeout: float | None = None) -> bool:
        """Take no more requests, answer those that are here, stop; False if some are left after *timeout* seconds."""

    def stop(self) -> None:
        """Stop now; requests that are not answered end with ``EngineStopped``."""
