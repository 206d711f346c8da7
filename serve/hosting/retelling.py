"""An answer that is begun again where its replica died: what its caller was told already is not told twice."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace

from coat_ray.inference.handle import Event
from coat_ray.inference.requests import Delta, Request, Result

SEEDS = 2**31


class OtherAnswer(RuntimeError):
    """Begun again, the answer is another one; the part of the first that was told cannot be taken back."""


def repeatable(request: Request) -> Request:
    """The request with a seed where it is drawn without one, so that a second replica draws the same answer."""
    sampling = request.sampling
    if sampling.temperature == 0 or sampling.seed is not None:
        return request
    return replace(request, sampling=replace(sampling, seed=secrets.randbelow(SEEDS)))


class Retelling:
    """Passes the events of one request on, through one attempt or several."""

    def __init__(self, on_event: Callable[[Event], None]) -> None:
        self._on_event = on_event
        self._told = {True: "", False: ""}  # by whether it is reasoning
        self._said = dict(self._told)

    def begin(self) -> None:
        """Another attempt: its events come from the first one on."""
        self._said = {True: "", False: ""}

    def tell(self, delta: Delta) -> None:
        """Pass on what is new in a piece of text.

        Raises:
            OtherAnswer: it does not continue what was told.
        """
        told = self._told[delta.reasoning]
        said = self._said[delta.reasoning] + delta.text
        self._said[delta.reasoning] = said
        if len(said) <= len(told):
            _check(told, said)
            return
        _check(said, told)
        self._told[delta.reasoning] = said
        self._on_event(Delta(said[len(told) :], delta.reasoning))

    def check(self, result: Result) -> None:
        """Compare the whole answer with what was told of it.

        Raises:
            OtherAnswer: it begins with something else.
        """
        _check(result.text, self._told[False])
        _check(result.reasoning, self._told[True])

    def end(self, event: Result | Exception) -> None:
        """Pass on the last event."""
        self._on_event(event)


def _check(whole: str, start: str) -> None:
    if not whole.startswith(start):
        raise OtherAnswer("the answer broke off and could not be continued; ask again")
