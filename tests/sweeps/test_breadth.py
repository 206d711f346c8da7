"""A sweep is as broad as its leases: it asks for what it can use, and gives back what nobody works under."""

from __future__ import annotations

import pytest

from coat_ray.client import PlatformError
from coat_ray.leasing.keeper import Held, TrialLease
from sweeps import breadth
from sweeps.breadth import follow_leases, look
from sweeps.places import Places
from tests.serve.served import wait_until


class Sweep:
    """A sweep that holds a lease and some for further trials, and the trials that work."""

    def __init__(self, *trials: TrialLease, working: int) -> None:
        self.held = Held("sweep", wanted=0, trials=trials)
        self.places = Places(9)
        self.returned: list[str] = []
        for number in range(working):
            assert self.places.take(f"t{number}")

    def look(self, useful: int) -> None:
        look(self.held, useful, self.places.resize, lambda trial: self.returned.append(trial.run))


def trial(name: str, *, give_way: bool = False) -> TrialLease:
    return TrialLease(name, f"token of {name}", give_way)


def test_a_sweep_asks_for_what_it_can_use_beside_its_own() -> None:
    sweep = Sweep(working=1)
    sweep.look(4)
    assert sweep.held.wanted == 3
    assert not sweep.places.take("t1")  # wanted is not granted
    sweep.held.trials = (trial("a"), trial("b"))
    sweep.look(4)
    assert [sweep.places.take(f"t{number}") for number in range(1, 4)] == [True, True, False]
    assert sweep.returned == []


def test_a_lease_that_is_asked_for_goes_back_once_its_trial_has_left() -> None:
    sweep = Sweep(trial("a"), trial("b", give_way=True), working=3)
    sweep.look(3)
    assert (sweep.places.keeps("t1"), sweep.places.keeps("t2"), sweep.returned) == (True, False, [])
    sweep.places.leave("t2")
    sweep.look(3)
    assert sweep.returned == ["b"]
    sweep.look(3)
    assert sweep.returned == ["b"]


def test_leases_that_no_trial_needs_any_more_go_back() -> None:
    sweep = Sweep(trial("a"), trial("b"), trial("c"), working=1)
    sweep.look(2)
    assert sweep.returned == ["b", "c"]
    assert sweep.held.wanted == 1
    sweep.look(0)
    assert (sweep.held.wanted, sweep.returned) == (0, ["b", "c", "a"])


@pytest.mark.parametrize("status", [409, 503, None])
def test_a_platform_that_takes_nothing_back_stops_no_sweep(status: int | None) -> None:
    def away(given: TrialLease) -> None:
        raise PlatformError(f"no {given.run}", status=status)

    look(Held("sweep", trials=(trial("a"),)), 1, Places(2).resize, away)


def test_without_a_platform_all_places_are_there() -> None:
    places = Places(0)
    with follow_leases(Held(), 3, lambda: 9, places.resize):
        assert [places.take(name) for name in "abcd"] == [True, True, True, False]


def test_a_sweep_that_must_make_room_waits_for_the_checkpoints_of_its_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breadth, "LOOK_EVERY_S", 0.01)
    held, places = Held("sweep", wanted=0), Places(1)
    assert places.take("a")
    with follow_leases(held, 1, lambda: 3, places.resize) as leave:
        assert not leave.wait(0.1)
        held.give_way.set()
        wait_until(lambda: not places.keeps("a"))
        assert not leave.is_set()
        places.leave("a")
        assert leave.wait(60)
        assert not places.take("b")


def test_a_trial_that_does_not_leave_cannot_keep_a_sweep_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breadth, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(breadth, "LEAVE_WITHIN_S", 0.1)
    held, places = Held("sweep", wanted=0), Places(1)
    assert places.take("a")
    held.give_way.set()
    with follow_leases(held, 1, lambda: 3, places.resize) as leave:
        assert leave.wait(60)


def test_the_last_to_come_is_the_first_to_leave_and_comes_back_later() -> None:
    places = Places(2)
    assert places.take("a")
    assert places.take("b")
    assert not places.take("c")
    assert places.resize(1) == 2
    assert (places.keeps("a"), places.keeps("b")) == (True, False)
    places.leave("b")
    assert not places.take("b")
    places.leave("a")
    assert places.take("c")
    places.leave("nobody")
    assert places.resize(2) == 1
    assert places.take("b")


def test_a_trial_whose_process_died_still_has_its_place() -> None:
    places = Places(1)
    assert places.take("a")
    assert places.take("a")
    places.leave("a")
    assert places.take("b")
