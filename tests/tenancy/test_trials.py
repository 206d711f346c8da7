"""A sweep's trials hold leases of their own: granted and asked back one by one, counted as one run, ended with it."""

from __future__ import annotations

import pytest

from coat_ray.tenancy.database import Database
from coat_ray.tenancy.errors import BadRequest
from coat_ray.tenancy.leases import Lease, LeaseLost
from coat_ray.tenancy.ledger import DEAD_AFTER
from coat_ray.tenancy.ledger_tables import RunKind, RunState
from coat_ray.tenancy.roles import PLATFORM
from coat_ray.tenancy.runs import Run, list_runs
from coat_ray.tenancy.standing import used_now
from coat_ray.tenancy.usage_report import UsageTotal, usage_totals
from tests.tenancy.world import World


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


class Sweep:
    """A sweep that has begun."""

    def __init__(self, world: World, tenant: str = "speech", **options: object) -> None:
        self.world = world
        self.run: Run = world.submit(tenant, kind=RunKind.SWEEP, **options)
        world.ledger.tick()
        self.token = world.begin(self.run).token

    def beat(self, trials: int) -> list[Lease]:
        """What it may run beside its first after a heartbeat and what the ledger then decides, the oldest first."""
        self.world.ledger.heartbeat(self.run.id, self.token, trials=trials)
        self.world.ledger.tick()
        return list(self.world.ledger.heartbeat(self.run.id, self.token, trials=trials).trials)


def test_a_sweep_gets_as_many_trials_as_there_is_room_for(world: World) -> None:
    sweep = Sweep(world)
    assert len(sweep.beat(2)) == 2
    assert len(sweep.beat(9)) == 3  # four GPUs, and one is the sweep's own
    again = sweep.beat(1)
    assert [trial.run.state.value for trial in again] == ["running"] * 3  # they go on until they are given back
    for trial in again[:2]:
        world.ledger.release(trial.run.id, trial.token, RunState.DONE)
    assert [trial.token for trial in sweep.beat(1)] == [again[2].token]


def test_trials_that_wait_and_are_not_needed_any_more_go(world: World) -> None:
    sweep = Sweep(world)
    other = world.submit("music", gpus=1)
    assert len(sweep.beat(8)) == 2  # the third GPU is the other team's
    assert world.run(other.id).state is RunState.STARTING
    with world.database.read() as session:
        assert used_now(session, "speech")["trials"] == 3
    sweep.beat(2)
    world.ledger.release(other.id, world.begin(other).token, RunState.DONE)
    assert len(sweep.beat(2)) == 2


def test_a_sweep_and_its_trials_are_one_run(database: Database) -> None:
    world = World(database, running_runs=1, queued_runs=1)
    sweep = Sweep(world)
    assert len(sweep.beat(3)) == 3
    with world.database.read() as session:
        assert [run.id for run in list_runs(session, actor=PLATFORM)] == [sweep.run.id]
        assert used_now(session, "speech")["running_runs"] == 1
    assert world.submit().state is RunState.QUEUED  # trials take no place in the queue
    world.later(seconds=30)
    sweep.beat(3)
    with world.database.read() as session:
        [line] = usage_totals(session, by=["tenant", "run"], run=sweep.run.id)
    assert line == UsageTotal("speech", sweep.run.id, accelerator_seconds=4 * 30, cpu_seconds=4 * 30)


def test_the_limit_of_trials_holds_for_all_sweeps_of_a_tenant_together(database: Database) -> None:
    world = World(database, gpus=8, trials=3)
    first, second = Sweep(world), Sweep(world)
    assert len(first.beat(5)) == 1
    assert second.beat(5) == []
    with world.database.read() as session:
        assert used_now(session, "speech")["trials"] == 3


def test_another_team_gets_a_trials_room_and_the_sweep_goes_on_with_less(world: World) -> None:
    sweep = Sweep(world)
    assert len(sweep.beat(3)) == 3
    other = world.submit("music", gpus=1)
    [asked] = [trial for trial in sweep.beat(3) if trial.yield_asked]
    assert not world.ledger.heartbeat(sweep.run.id, sweep.token).yield_asked
    world.ledger.release(asked.run.id, asked.token, RunState.QUEUED)
    assert world.run(other.id).state is RunState.STARTING
    assert len(sweep.beat(3)) == 2
    world.ledger.release(other.id, world.begin(other).token, RunState.DONE)
    assert len(sweep.beat(3)) == 3  # it waited in the queue


@pytest.mark.parametrize("outcome", [RunState.DONE, RunState.QUEUED, RunState.FAILED])
def test_trials_end_with_their_sweep(world: World, outcome: RunState) -> None:
    sweep = Sweep(world)
    [trial, *_] = sweep.beat(8)
    world.ledger.release(sweep.run.id, sweep.token, outcome)
    assert world.run(trial.run.id).reason == "its sweep runs no longer"
    with pytest.raises(LeaseLost):
        world.ledger.release(trial.run.id, trial.token, RunState.DONE)
    world.ledger.tick()
    with world.database.read() as session:
        held = used_now(session, "speech")["cpus"]
    assert held == (1 if outcome is RunState.QUEUED else 0)  # the sweep itself begins again


def test_the_trials_of_a_dead_sweep_end_with_its_last_sign_of_life(world: World) -> None:
    sweep = Sweep(world)
    world.later(seconds=20)
    sweep.beat(1)
    world.later(seconds=10)
    sweep.beat(1)
    world.later(seconds=DEAD_AFTER.total_seconds() + 1)
    world.ledger.tick()
    with world.database.read() as session:
        [line] = usage_totals(session, by=["run"])
    assert line.accelerator_seconds == 30 + 10
    assert world.run(sweep.run.id).attempts == 2


def test_only_a_sweep_has_trials(world: World) -> None:
    run = world.submit()
    world.ledger.tick()
    with pytest.raises(BadRequest, match="is no sweep"):
        world.ledger.heartbeat(run.id, world.begin(run).token, trials=1)
