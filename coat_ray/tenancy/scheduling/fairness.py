"""Who may run now, and who is asked to yield: one pure function.

**Fair share.** Among tenants, weighted dominant-resource fairness (`shares`): those below their fair
share go first, then the others, each time the one with the least share for its weight. Inside a tenant, priority, then
submission, then the run's id.

**Borrowing.** What fits is admitted, also above the tenant's fair share, within its hard limits. When the first item of
a tenant below its fair share does not fit, tenants above theirs are asked to yield (`yields`), unless
that could not make it fit. What comes back is kept for it.

**Back-fill.** A smaller item may pass one that does not fit, but not for ever. An item that is the first of its tenant
to lack only capacity is *overdue* once it has waited for *patience*:

- While its tenant is at or above its fair share, nothing of that tenant passes it.
- Once its tenant is below, it draws a ticket. Tickets are served in order before all else, and keep their right. What
  is free is kept for the lowest ticket, and of the rest for the next. Nothing is admitted behind a ticket that takes a
  resource which it still lacks. An item for which others were asked to yield draws a ticket at once.

**Bound.** Let decisions be made whenever an item arrives, ends or becomes overdue, let no item run longer than L, and
let X be overdue, the first of its tenant, of a tenant that has no other ticket and whose own limits do not stop X. Then
X starts within ``(k + 2) · L``, k being the tickets that others hold when X draws its own, at most one per tenant:
within L its tenant's items have ended, so that it is below its fair share and X has its ticket; within L each, the
tickets before it are served, since what a ticket lacks is given to nobody else; and the same for X. So an item that is
first in its tenant from its submission waits at most ``patience + (k + 2) · L``. A tenant's further items wait for
those before them: their order is the tenant's own choice.

**No ping-pong.** A tenant that yields keeps its fair share. It is then not below it, so what yielded can neither ask
nor draw a ticket, and what it made room for cannot be asked back without bringing its own tenant below.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from coat_ray.tenancy.scheduling.accounts import Account
from coat_ray.tenancy.scheduling.demand import Decision, Item, Resources, Running, TenantShare, Waiting
from coat_ray.tenancy.scheduling.reasons import Reasons
from coat_ray.tenancy.scheduling.round import Round
from coat_ray.tenancy.scheduling.shares import fair_shares

PATIENCE = 3600.0
"""Seconds after which nothing more may pass an item that does not fit."""


def decide(
    now: float,
    queue: Sequence[Waiting],
    leases: Sequence[Running],
    tenants: Sequence[TenantShare],
    capacity: Resources,
    *,
    patience: float = PATIENCE,
) -> Decision:
    """Which waiting items to admit and which running ones to ask to yield; the module says by which rules.

    *capacity* is that of the whole cluster, leases included. The order of *queue*, *leases* and *tenants* means
    nothing. Once it is applied (admitted items have become leases, yields are marked as asked, tickets are stored), the
    same call admits nothing more. Whether an item fits is a matter of sums: no node is looked at.

    Raises:
        ValueError: a run is given twice, or its tenant is not among *tenants*.
    """
    accounts = _accounts(queue, leases, tenants, capacity.units)
    next_ticket = 1 + max((item.ticket for item in queue if item.ticket is not None), default=0)
    turn = Round(accounts, capacity.units, now - patience, next_ticket)
    turn.serve_tickets()
    turn.fill()
    return Decision(tuple(turn.admitted), tuple(turn.yields), turn.tickets, Reasons(queue, turn.outcome()))


def _accounts(
    queue: Sequence[Waiting], leases: Sequence[Running], tenants: Sequence[TenantShare], capacity: Sequence[int]
) -> dict[str, Account]:
    """The books of all tenants that wait or run."""
    items: list[Item] = [*queue, *leases]
    _check(items, tenants)
    active = {item.tenant for item in items}
    accounts = {tenant.name: Account(tenant, capacity) for tenant in tenants if tenant.name in active}
    for item in queue:
        accounts[item.tenant].queue.append(item)
    for lease in leases:
        accounts[lease.tenant].leases.append(lease)
    for account in accounts.values():
        account.prepare()
    demands = {account.name: account.demand() for account in accounts.values()}
    shares = fair_shares(demands, {account.name: account.weight for account in accounts.values()}, capacity)
    for name, share in shares.items():
        accounts[name].fair = share
    return accounts


def _check(items: Sequence[Item], tenants: Sequence[TenantShare]) -> None:
    unknown = {item.tenant for item in items} - {tenant.name for tenant in tenants}
    if unknown:
        run = min(item.run for item in items if item.tenant in unknown)
        raise ValueError(f"run {run!r} is of a tenant that is not given: give {', '.join(sorted(unknown))} too")
    if len({item.run for item in items}) < len(items):
        run, _ = Counter(item.run for item in items).most_common(1)[0]
        raise ValueError(f"run {run!r} is given twice: a run waits once or runs once")
