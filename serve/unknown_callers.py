"""Refusals of callers who proved nothing, in the audit log: so many a minute, and then their number."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from coat_ray.tenancy import audit
from coat_ray.tenancy.database import Database
from coat_ray.tenancy.tables import Outcome

LINES_PER_MINUTE = 60
"""Of one process. Anybody can be refused as often as they like; the log must not grow with that."""

LEFT_OUT = "refusals.left_out"


class UnknownCallers:
    """Counts what is written in this minute, and what is left out."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._began, self._written, self._left_out = clock(), 0, 0

    def record(
        self,
        database: Database,
        action: str,
        target: str,
        reason: str,
        *,
        tenant: str | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """Write a line, or count it where this minute has its lines."""
        with self._lock:
            if self._clock() - self._began >= 60:
                self._began, self._written = self._clock(), 0
            allowed = self._written < LINES_PER_MINUTE
            self._written += allowed
            self._left_out += not allowed
        if not allowed:
            return
        self.write_left_out(database)
        with database.begin() as session:
            audit.record(
                session, None, action, target, tenant=tenant, outcome=Outcome.DENIED, reason=reason, detail=detail
            )

    def write_left_out(self, database: Database) -> None:
        """Write how many lines were left out since the last time, in one line; nothing where there were none."""
        with self._lock:
            number, self._left_out = self._left_out, 0
        if not number:
            return
        with database.begin() as session:
            reason = f"{number:,} refusals of unknown callers were left out of this log"
            audit.record(session, None, LEFT_OUT, outcome=Outcome.DENIED, reason=reason, detail={"number": number})
