"""Pieces of an answer that come within a moment travel together."""

from __future__ import annotations

import asyncio

from coat_ray.inference.errors import ModelFailed
from coat_ray.inference.handle import Event
from coat_ray.inference.requests import Delta
from serve.hosting.replica import _together


def gathered(*events: Event) -> list[list[Event]]:
    """What is sent of these events, which are all there."""

    async def gather() -> list[list[Event]]:
        waiting: asyncio.Queue[Event] = asyncio.Queue()
        for event in events:
            waiting.put_nowait(event)
        sent = []
        while not waiting.empty():
            sent.append(await _together(waiting))
        return sent

    return asyncio.run(gather())


def test_text_of_one_kind_is_one_piece_and_reasoning_stays_apart() -> None:
    pieces = [Delta("h", True), Delta("m", True), Delta("ra"), Delta("in")]
    assert gathered(*pieces) == [[Delta("hm", True), Delta("rain")]]


def test_the_end_is_not_waited_with_and_nothing_comes_after_it() -> None:
    broken = ModelFailed("out of memory")
    assert gathered(Delta("ra"), broken, Delta("late")) == [[Delta("ra"), broken], [Delta("late")]]
