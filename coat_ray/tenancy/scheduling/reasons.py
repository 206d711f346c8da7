"""Why an item waits, in a sentence for its owner. Made when it is read: a long queue is seldom read as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from coat_ray.tenancy.scheduling.accounts import Account
from coat_ray.tenancy.scheduling.demand import NAMES, UNIT, Reason, Waiting, fits


@dataclass(frozen=True)
class Outcome:
    """How things stand after a decision. ``free`` is without what is ``held`` for the items ``kept`` (in order).

    ``short`` names, per resource, the kept item that still lacks it.
    """

    accounts: Mapping[str, Account]
    capacity: Sequence[int]
    admitted: frozenset[str]
    free: Sequence[int]
    held: Sequence[int]
    short: Mapping[int, Waiting]
    kept: Sequence[Waiting]


class Reasons(Mapping[str, Reason]):
    """Run id to reason, for every item that goes on waiting."""

    def __init__(self, queue: Sequence[Waiting], outcome: Outcome) -> None:
        self._outcome = outcome
        self._items = {item.run: item for item in queue if item.run not in outcome.admitted}
        self._places: dict[str, dict[str, int]] = {}

    def __getitem__(self, run: str) -> Reason:
        item = self._items[run]
        account = self._outcome.accounts[item.tenant]
        return (
            self._never(item, account)
            or _limit(item, account)
            or self._kept(item)
            or self._own(item, account)
            or self._capacity(item, account)
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def _never(self, item: Waiting, account: Account) -> Reason | None:
        for want, total, most, name in zip(
            item.resources.units, self._outcome.capacity, account.limits, NAMES, strict=True
        ):
            if want > total:
                text = f"cannot fit: asks {_of(want, name)}, the cluster has {_number(total)} for runs"
                return Reason("never_fits", text)
            if want > most:
                text = f"can never fit: asks {_of(want, name)}, tenant {account.name} may use {_number(most)}"
                return Reason("never_fits", text)
        most_trials, most_runs = (account.share.max_trials, item.group_limit), account.share.max_runs
        if (item.group is not None and 0 in most_trials) or most_runs == 0:
            return Reason("never_fits", f"can never run: tenant {account.name} or its group may run none")
        return None

    def _kept(self, item: Waiting) -> Reason | None:
        if item not in self._outcome.kept:
            return None
        before = list(self._outcome.kept).index(item)
        place = "next" if not before else f"{before} before it"
        return Reason("kept", f"waits for {_wants(item)}; what comes free is kept for it; {place}")

    def _own(self, item: Waiting, account: Account) -> Reason | None:
        """Whether it stands behind an item of its own tenant."""
        ahead = account.first_blocked if account.closed else None
        if ahead is None and not account.allows(item):
            mine = (kept for kept in self._outcome.kept if kept.tenant == item.tenant)
            ahead = account.over_limit or next(mine, None)
        if ahead is None or ahead is item:
            return None
        text = (
            f"waits behind run {ahead.run} of its own tenant, which has waited long; a higher priority would go first"
        )
        return Reason("own_item", text, ahead.run)

    def _capacity(self, item: Waiting, account: Account) -> Reason:
        free = [a + b for a, b in zip(self._outcome.free, self._outcome.held, strict=True)]
        text = f"waits for {_wants(item)}; {_free(item, free)}; {self._place(item, account)}"
        ahead = next((first for r, first in self._outcome.short.items() if item.resources.units[r]), None)
        if ahead is None and fits(item.resources.units, free):
            ahead = next(iter(self._outcome.kept), None)
        if ahead is None:
            return Reason("capacity", text)
        return Reason("capacity", f"{text}; what comes free is kept for a run that has waited longer", ahead.run)

    def _place(self, item: Waiting, account: Account) -> str:
        """Its place among those of its tenant that wait."""
        if account.name not in self._places:
            waiting = [other.run for other in account.queue if other.run not in self._outcome.admitted]
            self._places[account.name] = {run: place for place, run in enumerate(waiting, 1)}
        return f"place {self._places[account.name][item.run]} in the queue of tenant {account.name}"


def _limit(item: Waiting, account: Account) -> Reason | None:
    """Which of its tenant's own limits stops it, counting only what runs."""
    share, name = account.share, account.name
    if share.suspended:
        return Reason("suspended", f"tenant {name} is suspended; the platform owner can lift that")
    running = account.running_trials.get(item.group or "", 0)
    if item.group is not None:
        if item.group_limit is not None and running >= item.group_limit:
            text = f"group {item.group} runs {running} of its {item.group_limit} trials; frees when one of them ends"
            return Reason("trials", text)
        every = sum(account.running_trials.values())
        if share.max_trials is not None and every >= share.max_trials:
            text = f"tenant {name} runs {every} of its {share.max_trials} trials; frees when one of them ends"
            return Reason("trials", text)
    if share.max_runs is not None and not running and account.running_runs >= share.max_runs:
        text = f"tenant {name} runs {account.running_runs} of its {share.max_runs} runs; frees when one of them ends"
        return Reason("runs", text)
    for want, used, most, resource in zip(item.resources.units, account.used, account.limits, NAMES, strict=True):
        if want and want + used > most:
            ends = f"one of its {account.running_runs} runs ends" if account.running_runs > 1 else "its run ends"
            text = f"tenant {name} uses {_number(used)} of its {_of(most, resource)}, {_number(want)} more wanted"
            return Reason("quota", f"{text}; frees when {ends}")
    return None


def _wants(item: Waiting) -> str:
    parts = [_of(want, name) for want, name in zip(item.resources.units, NAMES, strict=True) if want]
    return " and ".join(reversed(parts)) or "its turn"


def _free(item: Waiting, free: Sequence[int]) -> str:
    parts = [_of(left, name) for want, left, name in zip(item.resources.units, free, NAMES, strict=True) if want]
    return f"{' and '.join(reversed(parts)) or 'nothing'} free"


def _of(amount: float, name: str) -> str:
    return f"{_number(amount)} {name}{'' if amount == UNIT else 's'}"


def _number(amount: float) -> str:
    return f"{amount / UNIT:,.4f}".rstrip("0").rstrip(".")
