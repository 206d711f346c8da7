"""Who of the trials may work now: as many as the sweep holds leases for.

Trials run in processes of their own, and each asks for a place before it works. When the sweep holds fewer leases than
trials work, those that came last are asked to leave: they write a checkpoint, wait, and go on where they were.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray

LOOK_EVERY_S = 1.0


class Places:
    """As many places as there are leases. An actor, so it is asked one thing at a time."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._holders: list[str] = []

    def take(self, trial: str) -> bool:
        """Whether a trial may work; one that asks again after its process died still has its place."""
        if trial not in self._holders and len(self._holders) < self._number:
            self._holders.append(trial)
        return trial in self._holders

    def keeps(self, trial: str) -> bool:
        """Whether a trial may go on working."""
        return trial in self._holders[: self._number]

    def leave(self, trial: str) -> None:
        """A trial does not work any more; it need not have."""
        if trial in self._holders:
            self._holders.remove(trial)

    def resize(self, number: int) -> int:
        """Have so many places; gives how many are taken, which may be more for a while."""
        self._number = number
        return len(self._holders)


class SharedPlaces:
    """The places of a sweep, for all its processes."""

    def __init__(self, number: int) -> None:
        self._actor: Any = ray.remote(num_cpus=0)(Places).remote(number)

    def resize(self, number: int) -> int:
        """As :meth:`Places.resize`."""
        return int(ray.get(self._actor.resize.remote(number)))

    def leave(self, trial: str) -> None:
        """As :meth:`Places.leave`; for a trial whose process cannot say so itself."""
        ray.get(self._actor.leave.remote(trial))

    @contextmanager
    def held(self, trial: str) -> Iterator[threading.Event]:
        """Wait for a place and hold it; the event is set when it must be left."""
        ended, leave = threading.Event(), threading.Event()
        while not ray.get(self._actor.take.remote(trial)):
            ended.wait(LOOK_EVERY_S)

        def watch() -> None:
            while not ended.wait(LOOK_EVERY_S):
                if not ray.get(self._actor.keeps.remote(trial)):
                    leave.set()
                    return

        watching = threading.Thread(target=watch, daemon=True, name="place")
        watching.start()
        try:
            yield leave
        finally:
            ended.set()
            watching.join()
            self.leave(trial)
