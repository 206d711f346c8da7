"""Working in turn: with a lease while it is one's turn, waiting again after giving way."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from coat_ray.config import RunConfig
from coat_ray.leasing.keeper import GaveWay, Held, lease, started_by_platform

T = TypeVar("T")


def in_turn(config: RunConfig, show: Callable[[str], None], work: Callable[[Held], T], *, sweep: bool = False) -> T:
    """Do *work* with a lease for *config*, or for a *sweep* of it; what gave way waits here for its next turn.

    Raises:
        GaveWay: it gave way, and the platform, which started this job, will start it again.
        PlatformError: refused, or the platform does not answer.
    """
    waiting = None
    while True:
        try:
            with lease(config, show, waiting, sweep=sweep) as held:
                waiting = held.run
                return work(held)
        except GaveWay:
            if started_by_platform():
                raise
            show("gave way to another run; this one waits for its next turn")
