"""Which leases to ask back: few, from the tenants furthest above their fair share, the youngest first."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Sequence

from coat_ray.tenancy.scheduling.accounts import TOLERANCE, Account
from coat_ray.tenancy.scheduling.demand import Running

_Shape = tuple[int, ...]
_MOST_FAILURES = 50
"""Different wishes refused in one decision, after which nobody is asked any more, so that a decision stays short."""


class Borrowers:
    """Tenants above their fair share and the leases that they could give back.

    Leases of equal size are one stack, youngest on top, so that a choice looks at sizes and not at leases.
    """

    def __init__(self, accounts: Iterable[Account], capacity: Sequence[int]) -> None:
        self._capacity = capacity
        self._heap: list[tuple[float, str, Account]] = []
        self._stacks: dict[str, dict[_Shape, list[Running]]] = {}
        self._failed: list[tuple[list[int], float]] = []
        for account in accounts:
            if account.lasting() > account.fair + TOLERANCE:
                stacks = defaultdict(list)
                for lease in sorted(account.leases, key=lambda lease: (lease.since, lease.run)):
                    if not lease.asked:
                        stacks[lease.resources.units].append(lease)
                self._stacks[account.name] = stacks
                self._heap.append(self._entry(account))
        heapq.heapify(self._heap)

    def ask(self, missing: Sequence[int], level: float) -> list[Running]:
        """Leases that together give back what is *missing*, or none at all; none of them could be left out.

        Only tenants whose weighted share is above *level* are asked, the highest first, and none gives a lease without
        which it would be below its fair share. Of a tenant's leases, the one that gives most of what is missing goes,
        then the one that gives least besides, then the youngest.
        """
        need = list(missing)
        if not self._heap or -self._heap[0][0] <= level + TOLERANCE or len(self._failed) >= _MOST_FAILURES:
            return []
        if any(level >= other and all(map(int.__ge__, need, less)) for less, other in self._failed):
            return []
        picks: list[tuple[Account, Running]] = []
        aside = []
        while any(amount > 0 for amount in need) and self._heap and -self._heap[0][0] > level + TOLERANCE:
            entry = heapq.heappop(self._heap)
            account = entry[-1]
            shape = self._best(account, need)
            if shape is None:
                if picks or self._movable(account):
                    aside.append(entry)  # else it is left out from now on: it has nothing to give to anyone
                continue
            lease = self._stacks[account.name][shape].pop()
            account.ask(lease)
            picks.append((account, lease))
            need = [a - b for a, b in zip(need, shape, strict=True)]
            heapq.heappush(self._heap, self._entry(account))
        for entry in aside:
            heapq.heappush(self._heap, entry)
        if any(amount > 0 for amount in need):
            self._failed.append((list(missing), level))
            self._undo(picks)
            return []
        return self._without_spare(picks, need)

    def _best(self, account: Account, need: Sequence[int]) -> _Shape | None:
        best, best_key = None, None
        if account.lasting() <= account.fair + TOLERANCE:
            return None
        for shape, stack in self._stacks[account.name].items():
            if not stack or account.lasting(shape) < account.fair - TOLERANCE:
                continue
            parts = [
                (part, want, total) for part, want, total in zip(shape, need, self._capacity, strict=True) if total
            ]
            covered = sum(min(part, want) / total for part, want, total in parts if want > 0)
            surplus = sum(max(part - max(want, 0), 0) / total for part, want, total in parts)
            key = covered, -surplus, stack[-1].since, stack[-1].run
            if covered > 0 and (best_key is None or key > best_key):
                best, best_key = shape, key
        return best

    def _movable(self, account: Account) -> bool:
        """Whether it could give any of its leases without falling below its fair share."""
        floor = account.fair - TOLERANCE
        return any(stack and account.lasting(shape) >= floor for shape, stack in self._stacks[account.name].items())

    def _without_spare(self, picks: list[tuple[Account, Running]], need: list[int]) -> list[Running]:
        """Drop what later, larger picks made unnecessary, the oldest first; *need* is zero or below."""
        for pick in sorted(picks, key=lambda pick: (pick[1].since, pick[1].run)):
            without = [a + b for a, b in zip(need, pick[1].resources.units, strict=True)]
            if all(amount <= 0 for amount in without):
                need = without
                picks = [other for other in picks if other is not pick]
                self._undo([pick])
        return [lease for _, lease in picks]

    def _undo(self, picks: Sequence[tuple[Account, Running]]) -> None:
        for account, lease in reversed(picks):
            account.take_back(lease)
            self._stacks[account.name][lease.resources.units].append(lease)
        touched = {account.name for account, _ in picks}
        if touched:
            self._heap = [self._entry(entry[-1]) if entry[1] in touched else entry for entry in self._heap]
            heapq.heapify(self._heap)

    @staticmethod
    def _entry(account: Account) -> tuple[float, str, Account]:
        return -account.lasting() / account.weight, account.name, account
