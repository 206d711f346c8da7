"""A job waits for its turn, lives by its heartbeat, gives way when asked: against the real API over HTTP."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from coat_ray import client
from coat_ray.client import PlatformError
from coat_ray.leasing import keeper
from coat_ray.leasing.keeper import GaveWay, TrialLease, give_back, giving_way, lease
from coat_ray.tenancy.ledger import Ledger
from coat_ray.tenancy.scheduling.demand import Resources
from tests.serve.served import CONFIG, Service, wait_until


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    service = Service(tmp_path)
    monkeypatch.setenv("COAT_PLATFORM", service.url)
    monkeypatch.setenv("COAT_API_KEY", service.keys["speech"])
    monkeypatch.setattr(keeper, "ASK_EVERY_S", 0.05)
    monkeypatch.setattr(keeper, "HEARTBEAT_EVERY_S", 0.05)
    yield service
    service.close()


def test_without_a_platform_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COAT_PLATFORM", raising=False)
    with lease(CONFIG) as held:
        assert held.run is None
        assert not held.give_way.is_set()


def test_a_platform_without_a_key_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COAT_PLATFORM", "http://127.0.0.1:1")
    monkeypatch.delenv("COAT_API_KEY", raising=False)
    with pytest.raises(PlatformError, match="COAT_API_KEY is not"), lease(CONFIG):
        pass
    monkeypatch.setenv("COAT_API_KEY", "coat_x")
    with pytest.raises(PlatformError, match="no answer from the platform"), lease(CONFIG):
        pass


def test_a_lease_lives_while_the_run_does_and_ends_with_its_result(service: Service) -> None:
    with lease(CONFIG) as held:
        wait_until(lambda: service.states() == ["running"])
        held.result["models"] = ["m@1"]
    [run] = service.client("speech").get("/runs")["data"]
    assert (run["state"], run["result"]) == ("done", {"models": ["m@1"]})
    with pytest.raises(ZeroDivisionError), lease(CONFIG):
        _ = 1 / 0
    assert service.states()[0] == "failed"


def test_a_second_run_waits_its_turn_and_says_why(service: Service) -> None:
    said: list[str] = []
    order: list[str] = []

    def second() -> None:
        with lease(CONFIG, said.append):
            order.append("second")

    with lease(CONFIG):
        waiting = threading.Thread(target=second)
        waiting.start()
        wait_until(lambda: bool(said))
        assert order == []
    waiting.join()
    assert order == ["second"]
    assert "waits: waits for 3 CPUs" in said[0]
    assert service.states() == ["done", "done"]


def test_a_waiting_job_outlives_a_platform_that_is_away_for_a_while(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PAUSES_S", ())
    said: list[str] = []
    began = threading.Event()

    def second() -> None:
        with lease(CONFIG, said.append):
            began.set()

    waiting = threading.Thread(target=second)
    with lease(CONFIG):
        waiting.start()
        wait_until(lambda: bool(said))
        port = service.end()
        time.sleep(1)  # long enough for several questions
        assert waiting.is_alive()
        service.begin(port)
    waiting.join()
    assert began.is_set()


def test_a_borrower_gives_way_to_another_team(service: Service) -> None:
    service.room = 2
    own, other = service.client("speech"), service.client("music")
    first = own.post("/leases", {"config": CONFIG.model_dump(mode="json")})["id"]
    assert own.get(f"/leases/{first}")["token"]
    wanted: list[str] = []

    def borrow_and_give_way() -> None:
        with lease(CONFIG) as held:
            wait_until(lambda: "running" in service.states())
            wanted.append(other.post("/leases", {"config": CONFIG.model_dump(mode="json")})["id"])
            assert other.get(f"/leases/{wanted[0]}")["token"] is None
            with giving_way(held.give_way):
                time.sleep(60)

    with pytest.raises(GaveWay):
        borrow_and_give_way()
    assert sorted(service.states()) == ["queued", "starting"]
    granted = other.get(f"/leases/{wanted[0]}")["token"]
    other.post(f"/leases/{wanted[0]}/release", {"token": granted, "outcome": "done"})
    [again] = [run["id"] for run in own.get("/runs")["data"] if run["id"] != first]
    with lease(CONFIG, run=again) as held:
        assert held.run == again
    assert sorted(service.states()) == ["done", "starting"]


def test_a_sweep_holds_leases_for_its_trials_and_gives_them_back(service: Service) -> None:
    service.room = 2

    def decided(condition: Callable[[], bool]) -> Callable[[], bool]:
        return lambda: bool(service.ledger.tick()) and condition()

    with lease(CONFIG, sweep=True) as held:
        held.wanted = 9
        wait_until(decided(lambda: len(held.trials) == 1))
        other = service.client("music").post("/leases", {"config": CONFIG.model_dump(mode="json")})["id"]
        wait_until(decided(lambda: held.trials[0].give_way))
        assert not held.give_way.is_set()
        give_back(held.trials[0])
        wait_until(lambda: not held.trials)
        token = service.client("music").get(f"/leases/{other}")["token"]
        service.client("music").post(f"/leases/{other}/release", {"token": token, "outcome": "done"})
        wait_until(decided(lambda: len(held.trials) == 1))
        with pytest.raises(PlatformError, match="no longer holds"):
            give_back(TrialLease(held.trials[0].run, "wrong", give_way=False))
    assert service.states() == ["done"]


def test_an_interrupt_of_a_run_that_is_asked_to_give_way_is_its_giving_way(service: Service) -> None:
    def interrupted() -> None:
        with lease(CONFIG) as held:
            wait_until(lambda: service.states() == ["running"])
            held.give_way.set()
            raise KeyboardInterrupt

    with pytest.raises(GaveWay):
        interrupted()
    assert service.states()[0] in ("queued", "starting")


def test_a_lease_that_was_taken_back_is_given_up(service: Service) -> None:
    with lease(CONFIG) as held:
        wait_until(lambda: service.states() == ["running"])
        taken = Ledger(service.database, lambda: Resources(0, 0)).lease_of(held.run or "")
        assert taken is not None
        service.client("speech").post(f"/leases/{held.run}/release", {"token": taken.token, "outcome": "stopped"})
        assert held.give_way.wait(60)


def test_who_is_asked_already_does_not_begin() -> None:
    asked, begun = threading.Event(), []
    asked.set()
    with pytest.raises(GaveWay), giving_way(asked):
        begun.append(1)
    assert begun == []


@pytest.fixture
def plain_interrupts() -> Iterator[None]:
    """SIGINT as Python treats it, whatever ran before in this process."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("plain_interrupts")
def test_an_interrupt_comes_while_the_block_runs_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "ASK_EVERY_S", 0.001)

    def ask_soon(asked: threading.Event, pause: float) -> None:
        time.sleep(pause)
        asked.set()

    for number in range(200):
        asked = threading.Event()
        asker = threading.Thread(target=ask_soon, args=(asked, number * 2e-5))
        asker.start()
        with contextlib.suppress(GaveWay, KeyboardInterrupt), giving_way(asked):  # the latter on its way out
            time.sleep(0.002)
        asker.join()
    with pytest.raises(KeyboardInterrupt), giving_way(threading.Event()):
        signal.raise_signal(signal.SIGINT)
