"""What the platform does by itself, again and again."""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from anyio import to_thread

from serve.access import Platform

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
COUNT_EVERY_S = 10.0
MEASURE_EVERY_S = 60.0


def keep_doing(work: Callable[[], object], every_s: float) -> threading.Event:
    """Call *work* in the background, with pauses; setting the event that comes back ends it."""
    stopped = threading.Event()
    threading.Thread(target=_rounds, args=(work, every_s, stopped), daemon=True, name="rounds").start()
    return stopped


def counting(platform: Platform) -> Callable[[Any], Any]:
    """The life of an application: usage is written from time to time while it runs, and once more at its end."""
    write = partial(platform.usage.write, platform.database)

    @asynccontextmanager
    async def life(_app: Any) -> AsyncIterator[None]:
        stopped = keep_doing(write, COUNT_EVERY_S)
        try:
            yield
        finally:
            stopped.set()
            await to_thread.run_sync(write)

    return life


def _rounds(work: Callable[[], object], every_s: float, stopped: threading.Event) -> None:
    while not stopped.wait(every_s):
        try:
            work()
        except Exception:
            logger.exception("a round of the platform failed; the next one comes in %g s", every_s)
