"""Requests of each tenant, counted in memory and written from time to time: a row per request would be a write each."""

from __future__ import annotations

import secrets
import threading
from collections import Counter

from coat_ray.tenancy.database import Database
from coat_ray.tenancy.tables import UsageKind
from coat_ray.tenancy.usage import record_event


class RequestCount:
    """What one process answered since it was last written; killed, it loses that. Nothing is counted twice."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._process, self._written = secrets.token_hex(8), 0

    def add(self, tenant: str) -> None:
        """Count one request."""
        with self._lock:
            self._counts[tenant] += 1

    def write(self, database: Database) -> None:
        """Add what was counted to the tenants' usage. When that fails it is kept for the next time."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
            self._written += 1
            key = f"{self._process} {self._written}"
        try:
            with database.begin() as session:
                for tenant, number in sorted(counts.items()):
                    record_event(session, tenant, UsageKind.REQUESTS, number, key=key)
        except BaseException:
            with self._lock:
                self._counts += counts
            raise
