"""Pieces of an answer that come within a moment travel together."""

from __future__ import annotations

import asyncio
import threading

from coat_ray.inference.errors import ModelFailed
from coat_ray.inference.handle import Event
from coat_ray.inference.requests import Delta
from serve.hosting.gathering import Gathering

LONG = 60.0
"""Seconds that nobody here may wait."""


async def soon(gathering: Gathering) -> list[Event]:
    """What is taken within far less than LONG."""
    return await asyncio.wait_for(gathering.take(), 20)


def tell(gathering: Gathering, *events: Event) -> None:
    """From another thread, as an engine does."""
    thread = threading.Thread(target=lambda: [gathering.put(event) for event in events])
    thread.start()
    thread.join()


def test_text_of_one_kind_is_one_piece_and_reasoning_stays_apart() -> None:
    async def taken() -> list[Event]:
        gathering = Gathering(LONG)
        tell(gathering, Delta("h", True), Delta("m", True), Delta("ra"), Delta("in"))
        return await soon(gathering)

    assert asyncio.run(taken()) == [Delta("hm", True), Delta("rain")]


def test_the_first_piece_waits_for_nothing_and_the_end_is_not_waited_with() -> None:
    broken = ModelFailed("out of memory")

    async def taken() -> list[list[Event]]:
        gathering = Gathering(LONG)
        tell(gathering, Delta("ra"))
        found = [await soon(gathering)]
        waiting = asyncio.create_task(soon(gathering))
        await asyncio.sleep(0.05)
        tell(gathering, Delta("in"))
        await asyncio.sleep(0.05)
        assert not waiting.done(), "a piece in the middle waits for company"
        tell(gathering, broken)
        return [*found, await waiting]

    assert asyncio.run(taken()) == [[Delta("ra")], [Delta("in"), broken]]


def test_a_slow_answer_comes_piece_by_piece_and_whole() -> None:
    end = ModelFailed("the end")

    async def taken() -> list[list[Event]]:
        gathering = Gathering(0.0)
        found: list[list[Event]] = []
        for event in (*(Delta(letter) for letter in "abc"), end):
            waiting = asyncio.create_task(soon(gathering))
            await asyncio.sleep(0.05)  # past the time in which company is waited for
            assert not waiting.done()
            tell(gathering, event)
            found.append(await waiting)
        return found

    assert asyncio.run(taken()) == [[Delta("a")], [Delta("b")], [Delta("c")], [end]]
