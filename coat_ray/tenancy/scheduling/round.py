"""One decision in the making: who is admitted, for whom capacity is kept, who is asked to yield."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from operator import add, sub

from coat_ray.tenancy.scheduling.accounts import Account
from coat_ray.tenancy.scheduling.demand import Waiting, Yield, fits
from coat_ray.tenancy.scheduling.reasons import Outcome
from coat_ray.tenancy.scheduling.yields import Borrowers


class Round:
    """The rules of `coat_ray.tenancy.scheduling.fairness`, step by step.

    What is free only shrinks within a decision, so an item that did not fit is not looked at again. Items submitted at
    *overdue* or before are overdue.
    """

    def __init__(
        self, accounts: Mapping[str, Account], capacity: Sequence[int], overdue: float, next_ticket: int
    ) -> None:
        self.admitted: list[str] = []
        self.yields: list[Yield] = []
        self.tickets: dict[str, int] = {}
        self._accounts, self._capacity, self._overdue, self._next_ticket = accounts, capacity, overdue, next_ticket
        self._free = list(capacity)
        """What is neither used nor held."""
        self._too_large: set[tuple[int, ...]] = set()
        """Amounts that were seen not to fit."""
        self._held = [0] * len(capacity)
        self._coming = [0] * len(capacity)
        """What was asked back and is not yet kept for anyone."""
        self._kept: list[Waiting] = []
        self._short: dict[int, Waiting] = {}
        """Resources that a kept item still lacks; nobody behind it gets any."""
        self._borrowers: Borrowers | None = None
        for account in accounts.values():
            self._free = list(map(sub, self._free, account.used))
            self._coming = list(map(add, self._coming, account.asked))
        self._free = [max(amount, 0) for amount in self._free]  # below zero after capacity was lost

    def serve_tickets(self) -> None:
        """Admit the items that have a ticket, in order, and keep what is free for those that do not fit yet."""
        tickets = [
            (item.ticket, item.run, item)
            for account in self._accounts.values()
            for item in account.queue
            if item.ticket is not None
        ]
        for _, _, item in sorted(tickets, key=lambda ticket: ticket[:2]):
            account = self._accounts[item.tenant]
            if not account.allows(item):
                account.hold_place(item)
            elif self._fits(item):
                self._admit(account, item)
                account.has_ticket = False
            else:
                if account.entitled:
                    self._cover(account, item)
                self._keep(account, item)

    def fill(self) -> None:
        """Tenants below their fair share go first, then the others, each time the one with the least for its weight."""
        heap = [self._entry(account) for account in self._accounts.values() if account.queue]
        heapq.heapify(heap)
        while heap:
            account = self._accounts[heapq.heappop(heap)[-1]]
            if self._admit_one(account) and account.cursor < len(account.queue):
                heapq.heappush(heap, self._entry(account))

    def outcome(self) -> Outcome:
        """What the reasons are made from."""
        return Outcome(
            self._accounts, self._capacity, frozenset(self.admitted), self._free, self._held, self._short, self._kept
        )

    @staticmethod
    def _entry(account: Account) -> tuple[bool, float, float, str]:
        return not account.entitled, account.level(), account.queue[account.cursor].submitted, account.name

    def _admit_one(self, account: Account) -> bool:
        """Admit the tenant's next item that may run; False when there is none."""
        while account.cursor < len(account.queue) and not account.closed:
            if account.first_blocked is not None and account.shapes <= self._too_large:
                return False
            item = account.queue[account.cursor]
            account.cursor += 1
            if item.ticket is not None:
                continue
            if not account.allows(item):
                self._over_limit(account, item)
            elif self._fits(item):
                self._admit(account, item)
                return True
            elif account.first_blocked is None:
                self._blocked(account, item)
        return False

    def _fits(self, item: Waiting) -> bool:
        """Whether it fits into what is free; remembered, since that never grows."""
        shape = item.resources.units
        if shape in self._too_large:
            return False
        if fits(shape, self._free):
            return True
        self._too_large.add(shape)
        return False

    def _admit(self, account: Account, item: Waiting) -> None:
        self.admitted.append(item.run)
        self._free = list(map(sub, self._free, item.resources.units))
        account.start(item)

    def _over_limit(self, account: Account, item: Waiting) -> None:
        """Past an overdue item that waits for its tenant's own limits, only what leaves it its place."""
        if account.over_limit is None and item.submitted <= self._overdue and not account.at_trial_limit(item):
            account.over_limit = item
            account.hold_place(item)

    def _blocked(self, account: Account, item: Waiting) -> None:
        """The first item of its tenant that lacks only capacity."""
        account.first_blocked = item
        overdue = item.submitted <= self._overdue
        if account.has_ticket or not account.entitled:
            account.closed = overdue
        elif self._cover(account, item) or overdue:
            self.tickets[item.run] = self._next_ticket + len(self.tickets)
            account.has_ticket = True
            self._keep(account, item)

    def _cover(self, account: Account, item: Waiting) -> bool:
        """Whether what is free or comes back is enough, if need be by asking others to yield."""
        wants = item.resources.units
        if self._is_behind(item):
            return False
        missing = [max(want - a - b, 0) for want, a, b in zip(wants, self._free, self._coming, strict=True)]
        if not any(missing):
            return True
        if self._borrowers is None:
            self._borrowers = Borrowers(self._accounts.values(), self._capacity)
        asked = self._borrowers.ask(missing, account.level(wants))
        for lease in asked:
            self.yields.append(Yield(lease.run, item.run))
            self._coming = list(map(add, self._coming, lease.resources.units))
        return bool(asked)

    def _keep(self, account: Account, item: Waiting) -> None:
        """Keep what is free, and what comes back, for an item that does not fit yet."""
        self._kept.append(item)
        account.occupy(item)
        if self._is_behind(item):
            return
        for r, want in enumerate(item.resources.units):
            held = min(want, self._free[r])
            claimed = min(want - held, self._coming[r])
            self._free[r] -= held
            self._held[r] += held
            self._coming[r] -= claimed
            if held + claimed < want:
                self._short[r] = item

    def _is_behind(self, item: Waiting) -> bool:
        """Whether it wants something that a kept item lacks."""
        return any(item.resources.units[r] for r in self._short)
