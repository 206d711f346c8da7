"""The scheduling decision keeps to capacity, limits, weights and its own bound, whatever the state of the cluster."""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coat_ray.tenancy.scheduling.accounts import TOLERANCE
from coat_ray.tenancy.scheduling.demand import Resources, Running, TenantShare, Waiting
from coat_ray.tenancy.scheduling.fairness import decide
from coat_ray.tenancy.scheduling.shares import dominant_share, fair_shares, per_unit, total_demand
from tests.tenancy.scheduling.simulation import Cluster, applied, running, used, waiting

NOW, PATIENCE = 200.0, 100.0
GPUS8 = Resources(64, 8)
A, B, C = (TenantShare(name=name) for name in "abc")


def make_state(seed, tickets=True):
    """Queue, leases, tenants and capacity, with every kind of limit, group, ticket and yield under way."""
    rng = random.Random(seed)
    gpus = rng.choice([4, 8, 16])
    capacity = Resources(rng.choice([gpus, 4 * gpus]), gpus)
    tenants = [
        TenantShare(
            name=f"t{number}",
            weight=rng.choice([0.5, 1, 1, 2, 3]),
            max_cpus=rng.choice([None, None, rng.randint(0, 40)]),
            max_gpus=rng.choice([None, None, rng.randint(0, 12)]),
            max_runs=rng.choice([None, None, rng.randint(0, 5)]),
            max_trials=rng.choice([None, None, rng.randint(0, 4)]),
            suspended=rng.random() < 0.05,
        )
        for number in range(rng.randint(1, 5))
    ]
    leases, queue, ticketed = [], [], set()
    busy = rng.random()
    for number in range(rng.randint(0, 30)):
        tenant = rng.choice(tenants).name
        group = rng.choice([None, None, f"{tenant}-bounded", f"{tenant}-free"])
        resources = Resources(rng.choice([0, 1, 2, 5, 8]), rng.choice([0, 0.5, 1, 1, 2, 3, 8]))
        item = {
            "run": f"r{number}",
            "tenant": tenant,
            "resources": resources,
            "submitted": rng.choice([0, 10, 50, 100, 150, 190]),
            "priority": rng.choice([0, 0, 1]),
            "group": group,
            "group_limit": 2 if group == f"{tenant}-bounded" else None,
        }
        lease = Running(**item, since=rng.choice([0, 5, 20, 60]), asked=rng.random() < 0.2)
        if rng.random() < busy and used([*leases, lease]).fits(capacity):
            leases.append(lease)
        else:
            drawn = tickets and tenant not in ticketed and rng.random() < 0.15
            ticketed |= {tenant} if drawn else set()
            queue.append(Waiting(**item, ticket=number if drawn else None))
    return queue, leases, tenants, capacity


# Whole states from a seed: drawing each field apart would take most of the time of these tests.
SEEDS = st.integers(0, 2**32)
STATES = SEEDS.map(make_state)
STATES_WITHOUT_TICKETS = SEEDS.map(lambda seed: make_state(seed, tickets=False))


def fair(queue, leases, tenants, capacity):
    """Dominant share now, what will be left of it after yields under way, and fair share, per tenant."""
    books = {}
    for tenant in tenants:
        mine = [lease for lease in leases if lease.tenant == tenant.name]
        most = Resources.of([min(a, b) for a, b in zip(capacity.units, tenant.limits, strict=True)])
        wants = [w for w in queue if w.tenant == tenant.name and w.resources.fits(most) and not tenant.suspended]
        books[tenant.name] = (mine, total_demand([*mine, *wants], tenant))
    parts = per_unit(capacity.units)
    shares = fair_shares(
        {name: demand for name, (_, demand) in books.items()}, {t.name: t.weight for t in tenants}, capacity.units
    )
    return {
        name: (
            dominant_share(used(mine).units, parts),
            dominant_share(used([lease for lease in mine if not lease.asked]).units, parts),
            shares[name],
        )
        for name, (mine, _) in books.items()
    }


@settings(max_examples=200, deadline=None)
@given(STATES)
def test_nothing_goes_above_capacity_or_a_limit_of_its_tenant(state):
    queue, leases, tenants, capacity = state
    decision = decide(NOW, queue, leases, tenants, capacity, patience=PATIENCE)
    _, after = applied(decision, NOW, queue, leases)
    assert used(after).fits(capacity)
    for tenant in tenants:
        new = [lease for lease in after if lease.tenant == tenant.name and lease.run in decision.admit]
        mine = [lease for lease in after if lease.tenant == tenant.name]
        if not new:
            continue
        assert not tenant.suspended
        for r, most in enumerate(tenant.limits):
            assert used(mine).units[r] <= most or not used(new).units[r]
        runs = len({lease.group or lease.run for lease in mine})
        fresh = {lease.group or lease.run for lease in new} - {lease.group or lease.run for lease in leases}
        assert tenant.max_runs is None or runs <= tenant.max_runs or not fresh
        trials = Counter(lease.group for lease in mine if lease.group)
        if any(lease.group for lease in new):
            assert tenant.max_trials is None or sum(trials.values()) <= tenant.max_trials
        assert all(lease.group_limit is None or trials[lease.group] <= lease.group_limit for lease in new)


@settings(max_examples=200, deadline=None)
@given(STATES)
def test_deciding_again_on_the_state_after_a_decision_admits_nothing_new(state):
    queue, leases, tenants, capacity = state
    decision = decide(NOW, queue, leases, tenants, capacity, patience=PATIENCE)
    again = decide(NOW, *applied(decision, NOW, queue, leases), tenants, capacity, patience=PATIENCE)
    assert again.admit == ()


@settings(max_examples=60, deadline=None)
@given(STATES, st.randoms(use_true_random=False))
def test_the_order_in_which_items_are_given_means_nothing(state, rng):
    queue, leases, tenants, capacity = state
    decision = decide(NOW, queue, leases, tenants, capacity, patience=PATIENCE)
    for items in (queue, leases, tenants):
        rng.shuffle(items)
    other = decide(NOW, queue, leases, tenants, capacity, patience=PATIENCE)
    assert (decision.admit, decision.yields, decision.tickets) == (other.admit, other.yields, other.tickets)


@settings(max_examples=60, deadline=None)
@given(STATES_WITHOUT_TICKETS)
def test_without_tickets_and_overdue_items_whatever_fits_and_may_run_is_admitted(state):
    queue, leases, tenants, capacity = state
    leases = [replace(lease, asked=False) for lease in leases]
    decision = decide(NOW, queue, leases, tenants, capacity, patience=math.inf)
    if decision.tickets:
        return
    left, after = applied(decision, NOW, queue, leases)
    for item in left:
        alone = decide(NOW, [item], after, tenants, capacity, patience=math.inf)
        assert not alone.admit, f"{item} fits, and waits"


@settings(max_examples=200, deadline=None)
@given(STATES)
def test_only_tenants_above_their_fair_share_yield_and_only_to_one_below(state):
    queue, leases, tenants, capacity = state
    decision = decide(NOW, queue, leases, tenants, capacity, patience=PATIENCE)
    _, after = applied(decision, NOW, queue, leases)
    asked = {each.run for each in decision.yields}
    before = fair(queue, leases, tenants, capacity)
    admitted = [replace(lease, asked=lease.asked and lease.run not in asked) for lease in after]
    waits = [item for item in queue if item.run not in decision.admit]
    shares, later = fair(waits, admitted, tenants, capacity), fair(waits, after, tenants, capacity)
    tenant_of = {item.run: item.tenant for item in [*queue, *leases]}
    for each in decision.yields:
        giver, taker = tenant_of[each.run], tenant_of[each.makes_room_for]
        assert each.makes_room_for not in decision.admit
        assert shares[giver][1] > shares[giver][2] + TOLERANCE / 2
        assert later[giver][1] >= shares[giver][2] - 2 * TOLERANCE
        assert before[taker][0] < before[taker][2]
        assert next(lease for lease in leases if lease.run == each.run).asked is False


@settings(max_examples=200, deadline=None)
@given(STATES_WITHOUT_TICKETS)
def test_no_lease_is_asked_that_could_be_left_out(state):
    queue, leases, tenants, capacity = state
    queue, leases = queue[:1], [replace(lease, asked=False) for lease in leases]
    decision = decide(NOW, queue, leases, tenants, capacity, patience=PATIENCE)
    sizes = {lease.run: lease.resources for lease in leases}
    for spared in decision.yields:
        others = sum((sizes[each.run] for each in decision.yields if each is not spared), Resources())
        assert not queue[0].resources.fits(capacity - used(leases) + others)


@settings(max_examples=60, deadline=None)
@given(STATES)
def test_every_item_that_waits_is_told_why(state):
    queue, leases, tenants, capacity = state
    decision = decide(NOW, queue, leases, tenants, capacity, patience=PATIENCE)
    assert set(decision.reasons) == {item.run for item in queue} - set(decision.admit)
    for item in queue:
        if item.run not in decision.admit:
            reason = decision.reasons[item.run]
            assert reason.text
            others = {other.run for other in queue if other.tenant != item.tenant}
            assert not others & set(reason.text.replace(";", " ").replace(",", " ").split())


def make_history(seed):
    """Tenants and what they submit over time; no run lasts longer than 50 seconds."""
    rng = random.Random(seed)
    tenants = [TenantShare(name=f"t{n}", weight=rng.choice([0.5, 1, 1, 4])) for n in range(rng.randint(1, 4))]
    arrivals, seconds = [], {}
    for number in range(rng.randint(1, 40)):
        seconds[f"r{number}"] = rng.choice([1.0, 5.0, 20.0, 50.0])
        gpus, cpus = rng.choice([0, 1, 1, 2, 4, 8]), rng.choice([1, 4, 16])
        arrivals.append(waiting(f"r{number}", rng.choice(tenants).name, gpus, cpus, rng.randint(0, 150)))
    return tenants, arrivals, seconds


@settings(max_examples=40, deadline=None)
@given(SEEDS.map(make_history), st.sampled_from([0.0, 30.0]))
def test_the_first_item_of_a_tenant_starts_within_the_stated_bound(history, patience):
    tenants, arrivals, seconds = history
    longest = max(seconds.values())

    def check(cluster, _):
        for item in cluster.queue:
            if item.run in cluster.first_since:
                due = max(cluster.first_since[item.run], item.submitted + patience)
                assert cluster.now <= due + (len(tenants) + 1) * longest

    cluster = Cluster(tenants, GPUS8, seconds, patience)
    cluster.run(arrivals, check)
    assert set(cluster.started_at) == {item.run for item in arrivals}
    assert not cluster.queue


def stream_of_small_runs(patience):
    """Two tenants keep the cluster busy with one-GPU runs that never end together; a third wants all of it once."""
    arrivals = [waiting(f"{'ab'[i % 2]}{i}", "ab"[i % 2], 1, 1, submitted=i) for i in range(240)]
    seconds = {item.run: 20.0 for item in arrivals} | {"large": 20.0}
    cluster = Cluster([A, B, C], GPUS8, seconds, patience)
    cluster.run([*arrivals, waiting("large", "c", 8, 1, submitted=50)], until=230)
    return cluster


def test_a_large_run_is_not_passed_for_ever_by_small_ones():
    assert stream_of_small_runs(patience=100).started_at["large"] <= 50 + 100 + 20 + 1
    assert "large" not in stream_of_small_runs(patience=math.inf).started_at


def test_a_large_run_of_a_tenant_that_keeps_running_small_ones_starts_too():
    arrivals = [waiting(f"a{i}", "a", 1, 1, submitted=i / 2) for i in range(300)]
    arrivals += [waiting(f"b{i}", "b", 1, 1, submitted=i / 2) for i in range(300)]
    large = waiting("large", "a", 8, 1, submitted=40, priority=1)
    seconds = {item.run: 20.0 for item in arrivals} | {"large": 20.0}
    cluster = Cluster([A, B], GPUS8, seconds, patience=50)
    cluster.run([*arrivals, large], until=160)
    assert cluster.started_at["large"] <= 40 + 50 + 3 * 20


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from([1, 2, 3, 5]), min_size=2, max_size=5), SEEDS, st.sampled_from([10, 1e9]))
def test_shares_of_a_saturated_cluster_converge_to_the_weights(weights, seed, patience):
    rng = random.Random(seed)
    gpus = 2 * sum(weights)
    tenants = [TenantShare(name=f"t{i}", weight=weight) for i, weight in enumerate(weights)]
    arrivals = [waiting(f"t{i}-{n}", f"t{i}", 1, 1, 0.0) for i in range(len(weights)) for n in range(2 * gpus)]
    seconds = {item.run: rng.uniform(20, 30) for item in arrivals}
    cluster = Cluster(tenants, Resources(gpus, gpus), seconds, patience)
    cluster.run(arrivals, until=45)
    assert len(cluster.leases) == gpus
    held = Counter(lease.tenant for lease in cluster.leases)
    assert all(abs(held[tenant.name] - 2 * tenant.weight) <= 1 for tenant in tenants)


@settings(max_examples=15, deadline=None)
@given(SEEDS)
def test_what_yields_does_not_win_back_what_it_gave(seed):
    rng = random.Random(seed)
    tenants = [TenantShare(name=f"t{i}", weight=rng.choice([1, 2])) for i in range(3)]
    queue = [waiting(f"r{i}", f"t{rng.randrange(3)}", rng.choice([1, 1, 2, 4, 5]), 1, i / 9) for i in range(60)]
    for item in queue[:20]:  # so that one tenant borrows first
        queue[queue.index(item)] = replace(item, tenant="t0", submitted=0.0)
    cluster = Cluster(tenants, GPUS8, dict.fromkeys([item.run for item in queue], 1e6), patience=1e9)
    cluster.run(queue, until=1000)
    assert all(count == 1 for count in Counter(cluster.yielded).values())
    assert cluster.now < 100  # all came to rest soon after the last arrival


def test_a_sweep_of_200_trials_does_not_outweigh_the_single_run_of_another():
    sweep = [waiting(f"trial{i}", "a", 1, 1, group="sweep") for i in range(200)]
    single = waiting("single", "b", 4, 1, submitted=10)
    decision = decide(20, [*sweep, single], [], [A, B], GPUS8)
    assert "single" in decision.admit
    leases = [running(f"trial{i}", "a", 1, 1, group="sweep", since=i / 10) for i in range(8)]
    late = decide(20, [*sweep[8:], single], leases, [A, B], GPUS8)
    assert late.admit == ()
    assert [each.run for each in late.yields] == ["trial7", "trial6", "trial5", "trial4"]


def test_a_sweep_counts_as_one_run_of_its_tenant():
    tenant = TenantShare(name="a", max_runs=2, max_trials=3)
    queue = [waiting(f"trial{i}", "a", 1, group="sweep") for i in range(5)]
    queue += [waiting(f"run{i}", "a", 1, submitted=1) for i in range(2)]
    decision = decide(10, queue, [], [tenant], GPUS8)
    assert decision.admit == ("trial0", "trial1", "trial2", "run0")
    assert decision.reasons["trial3"].text == "tenant a runs 3 of its 3 trials; frees when one of them ends"
    assert decision.reasons["run1"].text == "tenant a runs 2 of its 2 runs; frees when one of them ends"


def test_priority_goes_before_submission_inside_a_tenant_only():
    queue = [
        waiting("early", "a", 4, submitted=0),
        waiting("urgent", "a", 4, submitted=5, priority=9),
        waiting("other", "b", 4, submitted=9),
    ]
    assert decide(10, queue, [], [A, B], GPUS8).admit == ("urgent", "other")


def test_idle_capacity_is_lent_and_comes_back_to_a_tenant_below_its_fair_share():
    queue = [waiting(f"a{i}", "a", 1, 1) for i in range(8)]
    first = decide(0, queue, [], [A, B], GPUS8)
    assert len(first.admit) == 8
    _, leases = applied(first, 0, queue, [])
    wants = [waiting("b0", "b", 2, 1, submitted=1), waiting("b1", "b", 2, 1, submitted=2)]
    second = decide(3, wants, leases, [A, B], GPUS8)
    assert {each.makes_room_for for each in second.yields} == {"b0"}
    assert len(second.yields) == 2
    wants, leases = applied(second, 3, wants, leases)
    assert decide(4, wants, leases, [A, B], GPUS8).yields == ()


def test_capacity_that_comes_back_for_one_is_not_taken_by_another_meanwhile():
    leases = [running(f"a{i}", "a", 1, 1, asked=i < 2) for i in range(7)]
    queue = [waiting("b0", "b", 3, 1, submitted=5), waiting("c0", "c", 1, 1, submitted=5)]
    queue += [waiting("a9", "a", 1, 1)]
    decision = decide(10, [replace(queue[0], ticket=1), *queue[1:]], leases, [A, B, C], GPUS8)
    assert "a9" not in decision.admit
    assert "c0" not in decision.admit
    assert decision.reasons["b0"].code == "kept"


def test_nobody_is_asked_when_that_could_not_make_room():
    leases = [running("a0", "a", 8, 8)]  # without it, its tenant would be below its fair share
    decision = decide(10, [waiting("b0", "b", 1, 1, submitted=5)], leases, [A, B], GPUS8)
    assert decision.yields == ()
    assert (
        decision.reasons["b0"].text
        == "waits for 1 GPU and 1 CPU; 0 GPUs and 56 CPUs free; place 1 in the queue of tenant b"
    )


def test_one_large_lease_is_asked_rather_than_many_small_ones():
    leases = [running(f"a{i}", "a", 1, 1, since=9) for i in range(4)] + [running("big", "a", 4, 4, since=1)]
    decision = decide(10, [waiting("b0", "b", 4, 4, submitted=5)], leases, [A, B], GPUS8)
    assert [each.run for each in decision.yields] == ["big"]


@pytest.mark.parametrize(
    ("item", "tenant", "text"),
    [
        (waiting("x", "a", 16), A, "cannot fit: asks 16 GPUs, the cluster has 8 for runs"),
        (waiting("x", "a", 4), TenantShare(name="a", max_gpus=2), "can never fit: asks 4 GPUs, tenant a may use 2"),
        (
            waiting("x", "a", 1),
            TenantShare(name="a", suspended=True),
            "tenant a is suspended; the platform owner can lift that",
        ),
        (
            waiting("x", "a", 1),
            TenantShare(name="a", max_gpus=4),
            "tenant a uses 4 of its 4 GPUs, 1 more wanted; frees when one of its 2 runs ends",
        ),
        (
            waiting("x", "a", 1, group="g", group_limit=1),
            A,
            "group g runs 1 of its 1 trials; frees when one of them ends",
        ),
    ],
)
def test_a_reason_names_the_limit_how_much_is_used_and_when_it_frees(item, tenant, text):
    leases = [running("one", "a", 2, group="g"), running("two", "a", 2)]
    decision = decide(10, [item], leases, [tenant], GPUS8)
    assert decision.admit == ()
    assert decision.reasons["x"].text == text


def test_an_item_that_can_never_fit_stops_nobody():
    queue = [waiting("never", "a", 16, submitted=0), waiting("small", "a", 1, submitted=5)]
    assert decide(1e6, queue, [], [A], GPUS8).admit == ("small",)


def test_an_overdue_run_is_not_passed_within_its_tenants_own_limit():
    tenant = TenantShare(name="a", max_gpus=4)
    leases = [running("held", "a", 2, 1)]
    queue = [waiting("large", "a", 4, 1, submitted=0), waiting("small", "a", 1, 1, submitted=50)]
    assert decide(60, queue, leases, [tenant], GPUS8, patience=100).admit == ("small",)
    late = decide(160, queue, leases, [tenant], GPUS8, patience=100)
    assert late.admit == ()
    assert late.reasons["small"].code == "own_item"


def test_after_capacity_was_lost_nothing_is_admitted_into_what_is_not_there():
    leases = [running("a0", "a", 8, 1)]
    assert decide(1, [waiting("b0", "b", 1, 1)], leases, [A, B], Resources(64, 4)).admit == ()
    assert decide(1, [waiting("b0", "b", 0, 1)], leases, [A, B], Resources(64, 4)).admit == ("b0",)


def test_wrong_states_are_named():
    with pytest.raises(ValueError, match="'x' is given twice"):
        decide(0, [waiting("x", "a"), waiting("x", "a")], [], [A], GPUS8)
    with pytest.raises(ValueError, match="give ghost too"):
        decide(0, [waiting("x", "ghost")], [], [A], GPUS8)
    with pytest.raises(ValueError, match="weight 0"):
        TenantShare(name="a", weight=0)
    with pytest.raises(ValueError, match="zero or more"):
        waiting("x", "a", -1)


def test_fractions_of_a_gpu_add_up_exactly():
    queue = [waiting(f"a{i}", "a", 0.1) for i in range(11)]
    assert len(decide(0, queue, [], [A], Resources(0, 1)).admit) == 10
    assert Resources(0.1, 0.2) + Resources(0.2, 0.1) == Resources(0.3, 0.3)
