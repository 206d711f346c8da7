"""How broad a sweep is: as many trials at a time as it holds leases for, and leases for as many as it can use."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from coat_ray.client import PlatformError
from coat_ray.leasing.keeper import CONFLICT, Held, TrialLease, give_back

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
LEAVE_WITHIN_S = 120.0
"""How long a sweep that must make room waits for its trials' checkpoints; what is not written then is trained again."""


@contextmanager
def follow_leases(
    held: Held, most: int, unfinished: Callable[[], int], resize: Callable[[int], int]
) -> Iterator[threading.Event]:
    """Keep the number of places equal to that of the leases while the block runs.

    Gives an event that is set when the sweep itself must make room, and its trials have done so.

    Args:
        held: the sweep's own lease, with those for further trials; without a platform there are no limits.
        most: trials at a time, however much room there is.
        unfinished: how many trials have not ended.
        resize: sets the number of places, and gives how many are taken: more for a while, when there are fewer.
    """
    ended, leave = threading.Event(), threading.Event()
    if held.run is None:
        resize(most)
        yield leave
        return

    def rounds() -> None:
        while not ended.wait(LOOK_EVERY_S) and not held.give_way.is_set():
            look(held, min(most, unfinished()), resize)
        until = time.monotonic() + LEAVE_WITHIN_S
        while held.give_way.is_set() and resize(0) and time.monotonic() < until and not ended.wait(LOOK_EVERY_S):
            pass
        if held.give_way.is_set():
            leave.set()

    thread = threading.Thread(target=rounds, daemon=True, name="leases of trials")
    thread.start()
    try:
        yield leave
    finally:
        ended.set()
        thread.join()


def look(held: Held, useful: int, resize: Callable[[int], int], back: Callable[[TrialLease], None] = give_back) -> None:
    """One look: ask for leases for as many trials as are *useful*, and give back what nobody works under any more."""
    held.wanted = max(useful - 1, 0)  # the first is the sweep's own
    trials = held.trials
    kept = [trial for trial in trials if not trial.give_way][: held.wanted]
    taken = resize(1 + len(kept))
    unused = 1 + len(trials) - max(taken, 1 + len(kept))
    for trial in [trial for trial in trials if trial not in kept][:unused]:
        held.trials = tuple(other for other in held.trials if other != trial)  # until the next heartbeat says the same
        try:
            back(trial)
        except PlatformError as error:
            if error.status == CONFLICT:  # it is gone already
                continue
            logger.warning("the lease of trial %s could not be given back: %s", trial.run, error)
