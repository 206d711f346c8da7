"""The scheduling benchmark measures what it says, on a load small enough for a test."""

from __future__ import annotations

import pytest

from benchmarks.cluster_load import make_load
from benchmarks.scheduler import POLICIES, Outcome, jain, row, simulate
from coat_ray.tenancy.scheduling.demand import Resources, TenantShare
from tests.tenancy.scheduling.simulation import running, waiting

CAPACITY = Resources(64, 8)
TENANTS = [TenantShare(name="a"), TenantShare(name="b")]


@pytest.fixture(scope="module")
def load():
    return make_load(num_tenants=8, num_runs=80, gpus=64, load=1.2, seed=3)


def test_a_load_asks_for_what_it_says_and_is_the_same_for_a_seed(load):
    work = sum(item.resources.gpus * load.seconds[item.run] for item in load.arrivals)
    assert work == pytest.approx(1.2 * 64 * load.window)
    assert [item.submitted for item in load.arrivals] == sorted(item.submitted for item in load.arrivals)
    assert all(0 <= item.submitted <= load.window for item in load.arrivals)
    assert all(item.resources.fits(load.capacity) for item in load.arrivals)
    assert make_load(num_tenants=8, num_runs=80, gpus=64, load=1.2, seed=3) == load


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_runs_every_run_to_its_end(load, name):
    outcome = simulate(load, POLICIES[name], tick=600.0)
    assert set(outcome.waits) == {item.run for item in load.arrivals}
    assert min(outcome.waits.values()) >= 0
    assert 0 < outcome.gpu_seconds <= load.capacity.gpus * load.window
    assert 0 < outcome.jain <= 1
    assert max(gpus for _, gpus in outcome.in_use) <= load.capacity.gpus
    assert len(row(name, outcome, load)) == 9


def test_fifo_stops_at_what_does_not_fit_and_first_fit_goes_past_it():
    leases = [running("held", "a", 6, 6)]
    queue = [waiting("large", "a", 4, submitted=1), waiting("small", "b", 1, submitted=2)]
    assert POLICIES["FIFO"](3, queue, leases, TENANTS, CAPACITY).admit == ()
    assert POLICIES["FIFO, first fit"](3, queue, leases, TENANTS, CAPACITY).admit == ("small",)


def test_strict_priority_looks_at_priority_across_tenants():
    queue = [waiting("early", "a", 8, submitted=1), waiting("urgent", "b", 8, submitted=2, priority=1)]
    assert POLICIES["strict priority"](3, queue, [], TENANTS, CAPACITY).admit == ("urgent",)


def test_the_baselines_keep_to_a_tenants_limits():
    tenants = [TenantShare(name="a", max_gpus=1), TenantShare(name="b")]
    queue = [waiting("a0", "a", 1), waiting("a1", "a", 1, submitted=1), waiting("b0", "b", 1, submitted=2)]
    for name in ("FIFO", "FIFO, first fit", "strict priority"):
        assert POLICIES[name](3, queue, [], tenants, CAPACITY).admit == ("a0", "b0")


def test_jains_index_is_one_when_all_are_equal_and_one_nth_when_one_has_everything():
    assert jain([0.5, 0.5, 0.5]) == pytest.approx(1)
    assert jain([1, 0, 0, 0]) == pytest.approx(0.25)
    assert Outcome(got={"a": 2.0, "b": 0.5}, due={"a": 1.0, "b": 1.0}).jain == pytest.approx(2.5**2 / (2 * 4.25))
