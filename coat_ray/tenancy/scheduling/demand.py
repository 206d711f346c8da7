"""What the scheduling decision reads and returns: resources, items that wait or run, tenants, and the decision.

Times are seconds of any one clock. Nothing here knows Ray or the database.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import le
from typing import Literal, Self

UNIT = 10_000
"""Steps in one CPU or GPU: Ray's own resolution. Whole numbers, so that sums neither drift nor depend on order."""

NAMES = ("CPU", "GPU")
"""The resources for people, in the order of the fields of `Resources`; a further one is a further field and name."""


@dataclass(frozen=True, slots=True)
class Resources:
    """Amounts of each resource, exact to 1/10,000; fractions share a device. A difference may be negative."""

    cpus: float = field(default=0.0, compare=False)
    gpus: float = field(default=0.0, compare=False)
    units: tuple[int, ...] = field(init=False, repr=False)
    """The same in steps of 1/10,000, in the order of the fields."""

    def __post_init__(self) -> None:
        amounts = (self.cpus, self.gpus)
        if not all(map(math.isfinite, amounts)):
            raise ValueError(f"{self} is not an amount of resources: give finite numbers")
        object.__setattr__(self, "units", tuple(round(amount * UNIT) for amount in amounts))

    @classmethod
    def of(cls, units: Sequence[int]) -> Self:
        """From steps of 1/10,000."""
        return cls(*(amount / UNIT for amount in units))

    def __add__(self, other: Resources) -> Resources:
        return Resources.of([a + b for a, b in zip(self.units, other.units, strict=True)])

    def __sub__(self, other: Resources) -> Resources:
        return Resources.of([a - b for a, b in zip(self.units, other.units, strict=True)])

    def fits(self, room: Resources) -> bool:
        """Whether *room* has as much of everything that is wanted."""
        return fits(self.units, room.units)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A run, or one trial of a group of trials.

    The items of a *group* count as one run against their tenant's limit of running runs; ``group_limit`` is the most
    of them that may run at once (None: no such limit). A higher ``priority`` goes first, within the tenant only.

    Raises:
        ValueError: less than nothing is asked for.
    """

    run: str
    tenant: str
    resources: Resources
    submitted: float
    priority: int = 0
    group: str | None = None
    group_limit: int | None = None

    def __post_init__(self) -> None:
        if min(self.resources.units) < 0:
            raise ValueError(f"run {self.run!r} asks for {self.resources}: ask for zero or more of each")


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting(Item):
    """An item in the queue. ``ticket`` is what an earlier decision drew for it (`Decision.tickets`), or None."""

    ticket: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Running(Item):
    """An item that holds its resources since ``since``; ``asked``: it has been asked to yield and still holds them."""

    since: float
    asked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantShare:
    """A tenant's weight (of its fair share) and hard limits, each None where there is none.

    ``max_trials`` is over all its groups together. A suspended tenant is admitted nothing; what it runs runs on.

    Raises:
        ValueError: the weight is not above zero.
    """

    name: str
    weight: float = 1.0
    max_cpus: float | None = None
    max_gpus: float | None = None
    max_runs: int | None = None
    max_trials: int | None = None
    suspended: bool = False
    limits: tuple[float, ...] = field(init=False, repr=False, compare=False)
    """The most it may use of each resource, in steps of 1/10,000; infinite where there is no limit."""

    def __post_init__(self) -> None:
        if not 0 < self.weight < math.inf:
            raise ValueError(f"tenant {self.name!r} has weight {self.weight}: give one above zero")
        limits = (self.max_cpus, self.max_gpus)
        object.__setattr__(self, "limits", tuple(math.inf if most is None else round(most * UNIT) for most in limits))


ReasonCode = Literal["never_fits", "suspended", "trials", "runs", "quota", "own_item", "capacity", "kept"]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an item waits. ``text`` is for its owner, ``behind`` for the platform: it may be of another tenant."""

    code: ReasonCode
    text: str
    behind: str | None = None


@dataclass(frozen=True, slots=True)
class Yield:
    """A running item to be asked to checkpoint and stop, and the waiting one that this makes room for."""

    run: str
    makes_room_for: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now.

    ``admit`` in the order in which it was granted. ``tickets`` are to be stored with the waiting items that they name.
    ``reasons`` holds one entry per item that goes on waiting, made when it is read.
    """

    admit: tuple[str, ...]
    yields: tuple[Yield, ...]
    tickets: Mapping[str, int]
    reasons: Mapping[str, Reason]


def fits(wants: Sequence[float], room: Sequence[float]) -> bool:
    """Whether *room* (zero or above) has as much of everything that is wanted."""
    return all(map(le, wants, room))
