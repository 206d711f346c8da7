"""Pieces of an answer that come within a moment travel together."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

from coat_ray.inference.errors import ModelFailed
from coat_ray.inference.handle import Event
from coat_ray.inference.requests import Delta
from serve.hosting.gathering import Gathering


def taken(first: Sequence[Event], *, later: Sequence[Event] = (), seconds: float = 60.0) -> list[list[Event]]:
    """What is taken when *first* is there at once and, after it was taken, another thread tells *later*."""

    async def take() -> list[list[Event]]:
        gathering = Gathering(seconds)
        for event in first:
            gathering.put(event)
        found = [await gathering.take()]
        thread = threading.Thread(target=lambda: [gathering.put(event) for event in later])
        thread.start()
        while sum(map(len, found)) and isinstance(found[-1][-1], Delta) and later:
            found.append(await gathering.take())
        thread.join()
        return found

    return asyncio.run(take())


def test_text_of_one_kind_is_one_piece_and_reasoning_stays_apart() -> None:
    pieces = [Delta("h", True), Delta("m", True), Delta("ra"), Delta("in")]
    assert taken(pieces) == [[Delta("hm", True), Delta("rain")]]


def test_the_first_piece_waits_for_nothing_and_the_end_is_not_waited_with() -> None:
    """With a minute to wait for company, this test would not end."""
    broken = ModelFailed("out of memory")
    assert taken([Delta("ra")], later=[Delta("in"), broken]) == [[Delta("ra")], [Delta("in"), broken]]


def test_a_slow_answer_comes_piece_by_piece_and_whole() -> None:
    end = ModelFailed("the end")
    found = taken([Delta("a")], later=[*(Delta(letter) for letter in "bcdefg"), end], seconds=0.0)
    assert found[-1][-1] is end
    assert "".join(event.text for events in found for event in events if isinstance(event, Delta)) == "abcdefg"


def test_who_waits_for_the_next_piece_is_woken_by_it() -> None:
    async def wait() -> list[Event]:
        gathering = Gathering(0.0)
        gathering.put(Delta("ra"))
        await gathering.take()
        waiting = asyncio.create_task(gathering.take())
        await asyncio.sleep(0.05)  # past the time in which company is waited for
        assert not waiting.done()
        threading.Thread(target=gathering.put, args=(Delta("in"),)).start()
        return await asyncio.wait_for(waiting, 10)

    assert asyncio.run(wait()) == [Delta("in")]
