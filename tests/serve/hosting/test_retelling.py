"""What is told of an answer that is begun again."""

from __future__ import annotations

from typing import Any

import pytest

from coat_ray.inference.handle import Event
from coat_ray.inference.requests import Delta, Request, Result, Sampling, Timings, Usage
from serve.hosting.retelling import OtherAnswer, Retelling, repeatable


def told(*attempts: list[Delta]) -> list[Event]:
    events: list[Event] = []
    retelling = Retelling(events.append)
    for attempt in attempts:
        retelling.begin()
        for delta in attempt:
            retelling.tell(delta)
    return events


def text(*pieces: str, reasoning: bool = False) -> list[Delta]:
    return [Delta(piece, reasoning) for piece in pieces]


def result(answer: str, reasoning: str = "") -> Result:
    return Result(answer, reasoning, (), "stop", Usage(1, 0, 0, 1), Timings())


@pytest.mark.parametrize("cut", range(5))
def test_nothing_is_told_twice_and_nothing_is_left_out(cut: int) -> None:
    events = told(text(*"rain"[:cut]), text("r", "ain", " falls"))
    assert "".join(event.text for event in events if isinstance(event, Delta)) == "rain falls"


def test_reasoning_and_answer_are_told_apart() -> None:
    thought, said = text("hm", reasoning=True), text("rain")
    events = told(thought, [*text("h", "m", reasoning=True), *said])
    assert events == [*thought, *said]


@pytest.mark.parametrize("second", [["r", "e"], ["wind"], ["r", "a", "i", "m"]])
def test_another_answer_is_an_error_and_none_of_it_is_told(second: list[str]) -> None:
    events: list[Event] = []
    retelling = Retelling(events.append)
    retelling.tell(Delta("rain"))
    retelling.begin()
    *right, wrong = text(*second)
    for delta in right:
        retelling.tell(delta)
    with pytest.raises(OtherAnswer):
        retelling.tell(wrong)
    assert events == text("rain")


def test_a_whole_answer_must_begin_with_what_was_told() -> None:
    retelling = Retelling(lambda _: None)
    retelling.tell(Delta("rain"))
    retelling.check(result("rain falls"))
    with pytest.raises(OtherAnswer):
        retelling.check(result("wind"))


@pytest.mark.parametrize(
    ("sampling", "seeded"),
    [({}, False), ({"temperature": 1.0}, True)],
)
def test_a_drawn_answer_gets_a_seed_so_that_it_can_be_drawn_again(sampling: dict[str, Any], seeded: bool) -> None:
    found = repeatable(Request([{"role": "user", "content": "?"}], sampling=Sampling(**sampling))).sampling
    assert (found.seed is not None) is seeded


def test_a_seed_that_was_asked_for_stays() -> None:
    sampling = Sampling(temperature=1.0, seed=7)
    assert repeatable(Request([{"role": "user", "content": "?"}], sampling=sampling)).sampling == sampling
