"""What many small requests use, summed in memory and written now and then: a row for each would be a write each."""

from __future__ import annotations

import secrets
import threading
from collections import defaultdict

from coat_ray.tenancy.database import Database
from coat_ray.tenancy.tables import UsageKind
from coat_ray.tenancy.usage import record_event


class UsageCount:
    """What one process counted since it was last written; killed, it loses that. Nothing is counted twice."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._amounts: defaultdict[tuple[str, UsageKind], float] = defaultdict(float)
        self._process, self._written = secrets.token_hex(8), 0

    def add(self, tenant: str, kind: UsageKind, amount: float = 1) -> None:
        """Count *amount* more: seconds, or a number."""
        with self._lock:
            self._amounts[tenant, kind] += amount

    def write(self, database: Database) -> None:
        """Add what was counted to the tenants' usage. When that fails it is kept for the next time."""
        with self._lock:
            amounts, self._amounts = self._amounts, defaultdict(float)
            self._written += 1
            key = f"{self._process} {self._written}"
        if not amounts:  # a write transaction makes others wait
            return
        try:
            with database.begin() as session:
                for (tenant, kind), amount in sorted(amounts.items()):
                    record_event(session, tenant, kind, amount, key=key)
        except BaseException:
            for (tenant, kind), amount in amounts.items():
                self.add(tenant, kind, amount)
            raise
