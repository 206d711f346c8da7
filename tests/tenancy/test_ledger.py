"""Queued work waits in the database; whoever looks at it moves it on, and nobody can move it on twice."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from coat_ray.tenancy import audit
from coat_ray.tenancy.database import Database
from coat_ray.tenancy.errors import Denied, Forbidden, IdempotencyConflict
from coat_ray.tenancy.leases import MAX_DEATHS, LeaseLost
from coat_ray.tenancy.ledger import DEAD_AFTER, START_WITHIN, Ledger, Submission
from coat_ray.tenancy.ledger_tables import RunKind, RunState
from coat_ray.tenancy.roles import Principal, Role
from coat_ray.tenancy.runs import RunNotFound, get_run, list_runs
from coat_ray.tenancy.scheduling.demand import Resources
from coat_ray.tenancy.tables import UsageKind
from coat_ray.tenancy.times import month_of
from coat_ray.tenancy.usage_report import used_in_month
from tests.tenancy.world import START, World


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


def test_a_run_goes_from_the_queue_through_its_lease_to_its_end(world: World) -> None:
    run = world.submit()
    assert run.state is RunState.QUEUED
    world.ledger.tick()
    assert world.run(run.id).state is RunState.STARTING
    lease = world.begin(run)
    assert (lease.run.state, lease.resources, lease.yield_asked) == (RunState.RUNNING, Resources(1, 1), False)
    world.later(seconds=30)
    ended = world.ledger.release(run.id, lease.token, RunState.DONE, result={"model": "m@1"})
    assert (ended.state, ended.result, ended.ended_at) == (RunState.DONE, {"model": "m@1"}, world.now)
    assert world.ledger.lease_of(run.id) is None


def test_what_does_not_fit_waits_and_says_why(world: World) -> None:
    first = world.submit(gpus=3)
    world.later(seconds=1)
    second = world.submit(gpus=3)
    world.ledger.tick()
    assert world.states() == {"starting": 1, "queued": 1}
    assert world.run(second.id).reason.startswith("waits for 3 GPUs and 1 CPU; 1 GPU and 63 CPUs free")
    lease = world.begin(first)
    world.ledger.release(first.id, lease.token, RunState.DONE)
    assert world.run(second.id).state is RunState.STARTING


def test_looking_again_grants_nothing_twice(world: World) -> None:
    for _ in range(9):
        world.submit()
    for _ in range(3):
        world.ledger.tick()
    assert world.states() == {"starting": 4, "queued": 5}


def test_a_request_that_is_sent_again_is_one_run(world: World) -> None:
    one, again = world.submit(idempotency_key="abc"), world.submit(idempotency_key="abc")
    assert one.id == again.id
    assert world.submit("music", idempotency_key="abc").id != one.id
    assert world.states() == {"queued": 2}


def test_a_run_that_has_not_begun_is_given_its_time_whatever_it_is_asked(world: World) -> None:
    slow = world.submit()
    world.ledger.tick()
    world.later(seconds=DEAD_AFTER.total_seconds() + 1)
    world.ledger.tick()
    assert world.run(slow.id).attempts == 1
    stopped = world.ledger.stop(slow.id, actor=world.members["speech"])
    assert (stopped.state, stopped.reason) == (RunState.STOPPED, "asked to stop")
    assert world.ledger.lease_of(slow.id) is None


def test_a_key_that_came_with_another_request_is_refused(world: World) -> None:
    world.submit(idempotency_key="abc")
    with pytest.raises(IdempotencyConflict, match="came with another request before"):
        world.submit(idempotency_key="abc", again=False)


def test_no_more_runs_wait_than_the_limit(database: Database) -> None:
    world = World(database, queued_runs=2)
    for _ in range(2):
        world.submit()
    with pytest.raises(Denied, match="may have 2 runs that wait; 2 used, 1 more wanted"):
        world.submit()
    world.ledger.tick()
    world.submit()


def test_what_a_dead_driver_used_ends_with_its_last_sign_of_life(world: World) -> None:
    run = world.submit()
    world.ledger.tick()
    world.later(seconds=10)
    world.begin(run)
    world.later(hours=48)
    world.ledger.died(run.id, 1, "its cluster ended", counts=False)
    with world.database.read() as session:
        used = used_in_month(session, "speech", UsageKind.ACCELERATOR_SECONDS, month_of(START))
    assert used == pytest.approx(10)


def test_an_attempt_that_lived_long_begins_the_row_of_deaths_anew(world: World) -> None:
    run = world.submit()
    for attempt in range(1, 2 * MAX_DEATHS):
        world.ledger.tick()
        world.later(minutes=11)
        world.begin(run)
        world.ledger.died(run.id, attempt, "killed")
    assert world.run(run.id).state is RunState.STARTING


def test_silence_while_nobody_listened_is_not_held_against_a_driver(world: World) -> None:
    run = world.submit()
    world.ledger.tick()
    lease = world.begin(run)
    world.later(hours=1)
    started_again = Ledger(world.database, lambda: Resources(64, 4), clock=lambda: world.now)
    started_again.tick()
    assert started_again.heartbeat(run.id, lease.token).run.state is RunState.RUNNING
    world.later(seconds=DEAD_AFTER.total_seconds() + 1)
    started_again.tick()
    assert world.run(run.id).attempts == 2


def test_a_silent_driver_loses_its_lease_and_the_run_waits_again(world: World) -> None:
    run = world.submit()
    world.ledger.tick()
    lease = world.begin(run)
    world.later(seconds=DEAD_AFTER.total_seconds() + 1)
    world.ledger.tick()
    assert world.run(run.id).state is RunState.STARTING
    assert world.run(run.id).attempts == 2
    with pytest.raises(LeaseLost, match="it was taken back; stop"):
        world.ledger.heartbeat(run.id, lease.token)
    with pytest.raises(LeaseLost):
        world.ledger.release(run.id, lease.token, RunState.DONE)


def test_a_driver_that_speaks_keeps_its_lease(world: World) -> None:
    run = world.submit()
    world.ledger.tick()
    token = world.begin(run).token
    for _ in range(5):
        world.later(seconds=DEAD_AFTER.total_seconds() - 1)
        world.ledger.heartbeat(run.id, token)
        world.ledger.tick()
    assert world.run(run.id).attempts == 1


def test_a_process_may_take_longer_to_begin_than_to_speak_again(world: World) -> None:
    run = world.submit()
    world.ledger.tick()
    world.later(seconds=DEAD_AFTER.total_seconds() + 1)
    world.ledger.tick()
    assert world.run(run.id).attempts == 1
    world.later(seconds=START_WITHIN.total_seconds())
    world.ledger.tick()
    assert world.run(run.id).attempts == 2


def test_a_run_whose_driver_dies_again_and_again_is_given_up(world: World) -> None:
    run = world.submit()
    for _ in range(MAX_DEATHS):
        world.ledger.tick()
        world.begin(run)
        world.later(minutes=5)
    world.ledger.tick()
    assert world.run(run.id).state is RunState.FAILED
    assert "no sign of life since" in world.run(run.id).reason


def test_a_job_that_nobody_can_start_again_has_failed_when_it_is_silent(world: World) -> None:
    run = world.submit(again=False)
    world.ledger.tick()
    world.begin(run)
    world.later(minutes=5)
    world.ledger.tick()
    assert world.run(run.id).state is RunState.FAILED


def test_a_borrower_is_asked_to_yield_and_waits_again_in_its_old_place(world: World) -> None:
    borrowed = [world.submit("speech", gpus=1) for _ in range(4)]
    world.ledger.tick()
    leases = {run.id: world.begin(run) for run in borrowed}
    world.later(minutes=1)
    wanted = world.submit("music", gpus=2)
    world.ledger.tick()
    asked = [run for run in borrowed if world.run(run.id).state is RunState.YIELDING]
    assert len(asked) == 2
    assert all(world.begin(run).yield_asked for run in asked)
    for run in asked:
        world.ledger.release(run.id, leases[run.id].token, RunState.QUEUED)
    assert world.run(wanted.id).state is RunState.STARTING
    assert {world.run(run.id).state for run in asked} == {RunState.QUEUED}
    assert world.run(asked[0].id).submitted_at == START
    world.ledger.tick()
    assert world.states() == {"running": 2, "starting": 1, "queued": 2}


def test_a_waiting_run_is_stopped_at_once_and_a_running_one_when_it_gives_way(world: World) -> None:
    waiting, other = world.submit(gpus=4), world.submit(gpus=4)
    stopped = world.ledger.stop(other.id, actor=world.members["speech"])
    assert stopped.state is RunState.STOPPED
    world.ledger.tick()
    lease = world.begin(waiting)
    assert world.ledger.stop(waiting.id, actor=world.members["speech"]).state is RunState.YIELDING
    assert world.begin(waiting).yield_asked
    assert world.ledger.release(waiting.id, lease.token, RunState.QUEUED).state is RunState.STOPPED


def test_another_tenants_run_cannot_be_told_from_none(world: World) -> None:
    run = world.submit("speech")
    stranger = world.members["music"]
    texts = set()
    for run_id in (run.id, "no-such-run"):
        with pytest.raises(RunNotFound) as found, world.database.read() as session:
            get_run(session, run_id, actor=stranger)
        texts.add(str(found.value).replace(run_id, ""))
        with pytest.raises(RunNotFound):
            world.ledger.stop(run_id, actor=stranger)
    assert len(texts) == 1
    with world.database.read() as session:
        assert list_runs(session, actor=stranger) == []
    with pytest.raises(Forbidden):
        world.ledger.submit(
            Submission(RunKind.RUN, "x", {}, Resources(1)), actor=Principal("speech", Role.VIEWER), tenant="speech"
        )


def test_hours_are_counted_once_and_end_with_the_month(database: Database) -> None:
    world = World(database, accelerator_hours=1.0)
    run = world.submit(gpus=2)
    world.ledger.tick()
    token = world.begin(run).token
    for _ in range(40):
        world.later(seconds=50)
        world.ledger.heartbeat(run.id, token)
    world.ledger.release(run.id, token, RunState.DONE)
    with database.read() as session:
        used = used_in_month(session, "speech", UsageKind.ACCELERATOR_SECONDS, month_of(START))
    assert used == pytest.approx(2 * 40 * 50)
    with pytest.raises(Denied, match=r"may have 1 accelerator-hours a month; 1.111 used; this frees at 2026-06-01"):
        world.submit()
    assert world.submit(gpus=0).state is RunState.QUEUED
    world.now = datetime(2026, 6, 1, 0, 1, tzinfo=UTC)
    assert world.submit().state is RunState.QUEUED


def test_every_change_of_a_lease_stands_in_the_audit_log(world: World) -> None:
    run = world.submit()
    world.ledger.tick()
    world.ledger.release(run.id, world.begin(run).token, RunState.FAILED, reason="no such corpus")
    with world.database.read() as session:
        lines = audit.query(session, target=f"run/{run.id}").records
    assert [line.action for line in reversed(lines)] == ["run.submit", "lease.grant", "lease.end"]
    assert "no such corpus" in lines[0].reason
