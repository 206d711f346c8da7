"""Seconds of audio that tenants sent, summed in memory and written from time to time, as requests are counted."""

from __future__ import annotations

import secrets
import threading
from collections import defaultdict

from coat_ray.tenancy.database import Database
from coat_ray.tenancy.tables import UsageKind
from coat_ray.tenancy.usage import record_event


class AudioCount:
    """What one process heard since it was last written; killed, it loses that. Nothing is counted twice."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._process, self._written = secrets.token_hex(8), 0

    def add(self, tenant: str, seconds: float) -> None:
        """Count *seconds* more."""
        with self._lock:
            self._seconds[tenant] += seconds

    def write(self, database: Database) -> None:
        """Add what was counted to the tenants' usage. When that fails it is kept for the next time."""
        with self._lock:
            seconds, self._seconds = self._seconds, defaultdict(float)
            self._written += 1
            key = f"{self._process} {self._written}"
        try:
            with database.begin() as session:
                for tenant, amount in sorted(seconds.items()):
                    record_event(session, tenant, UsageKind.AUDIO_SECONDS, amount, key=key)
        except BaseException:
            for tenant, amount in seconds.items():
                self.add(tenant, amount)
            raise
