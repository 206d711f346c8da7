"""A limit that is reached: which, how much of it is used, and when it frees."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

Limit = Literal[
    "cpus",
    "gpus",
    "running_runs",
    "queued_runs",
    "trials",
    "accelerator_hours",
    "storage_bytes",
    "requests_per_minute",
    "audio_seconds_per_minute",
]

UNITS: dict[Limit, str] = {
    "cpus": "CPUs at once",
    "gpus": "GPUs at once",
    "running_runs": "running runs",
    "queued_runs": "runs that wait",
    "trials": "trials at once",
    "accelerator_hours": "accelerator-hours a month",
    "storage_bytes": "bytes of storage",
    "requests_per_minute": "requests a minute",
    "audio_seconds_per_minute": "seconds of audio a minute",
}


@dataclass(frozen=True)
class Denial:
    """Why a tenant may not have *wanted* more of *limit*; amounts are in the limit's unit (see `UNITS`).

    ``frees_at`` is None where no instant is known; ``frees_when`` then says what has to happen.
    """

    tenant: str
    limit: Limit
    allowed: float
    used: float
    wanted: float
    frees_at: datetime | None = None
    frees_when: str = ""

    @property
    def hopeless(self) -> bool:
        """Whether it stays denied even with nothing used."""
        return self.wanted > self.allowed or self.allowed <= 0

    @property
    def sentence(self) -> str:
        """All of it, for a person."""
        text = f"tenant {self.tenant!r} may have {_number(self.allowed)} {UNITS[self.limit]}; {_number(self.used)} used"
        if self.wanted:
            text += f", {_number(self.wanted)} more wanted"
        return f"{text}; {self._remedy()}"

    def _remedy(self) -> str:
        if self.hopeless:
            return "ask for less, or the platform owner for a higher limit"
        if self.frees_at is not None:
            return f"this frees at {self.frees_at:%Y-%m-%d %H:%M:%S} UTC"
        return f"this frees when {self.frees_when or 'some of it is given back'}"

    def fields(self) -> dict[str, Any]:
        """Plain data for HTTP errors and the audit log."""
        return {
            "tenant": self.tenant,
            "limit": self.limit,
            "allowed": self.allowed,
            "used": self.used,
            "wanted": self.wanted,
            "frees_at": None if self.hopeless or self.frees_at is None else self.frees_at.isoformat(),
        }

    def retry_after_s(self, now: datetime) -> int | None:
        """Whole seconds until it frees, for the Retry-After header; None where no instant is known."""
        if self.hopeless or self.frees_at is None:
            return None
        return max(1, math.ceil((self.frees_at - now).total_seconds()))


def _number(value: float) -> str:
    return f"{value:,.3f}".rstrip("0").rstrip(".")
