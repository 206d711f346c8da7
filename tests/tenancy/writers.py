"""Processes that write into one database at once: ``python -m tests.tenancy.writers WHAT URL NUMBER``.

Each says ``ready``, waits for a line, works, and says what it saw as JSON.
"""

import json
import sys
from datetime import UTC, datetime, timedelta

from coat_ray.tenancy.database import Database
from coat_ray.tenancy.keys import create_key
from coat_ray.tenancy.quotas import Quota
from coat_ray.tenancy.rates import take
from coat_ray.tenancy.roles import PLATFORM, Role
from coat_ray.tenancy.tables import UsageKind
from coat_ray.tenancy.tenants import create_tenant, list_tenants
from coat_ray.tenancy.usage import record_event, record_interval

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
ROUNDS = 5
ALLOWED = 20


def say(text: str) -> None:
    """One line to whoever started this process."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def crowd(url: str, number: int) -> dict[str, object]:
    """Open a fresh database, and make and count the own things and the common ones."""
    database = Database.open(url)
    own = f"team-{number}"
    with database.begin() as session:
        create_tenant(session, own, actor=PLATFORM)
        if "common" not in {tenant.name for tenant in list_tenants(session)}:
            create_tenant(session, "common", actor=PLATFORM, quota=Quota(requests_per_minute=ALLOWED))
    keys, taken = [], 0
    for turn in range(ROUNDS):
        end = NOW + timedelta(seconds=10 * (turn + 1))
        with database.begin() as session:
            keys.append(create_key(session, role=Role.MEMBER, tenant=own, actor=PLATFORM).text)
            for tenant, run in ((own, f"run-{number}"), ("common", "run")):
                record_interval(session, tenant, UsageKind.ACCELERATOR_SECONDS, run=run, start=NOW, end=end)
                record_event(session, tenant, UsageKind.REQUESTS, 1, key=f"request-{turn}")
        taken += take(database, "common", now=NOW) is None
    return {"keys": keys, "taken": taken}


def stall(url: str, number: int) -> dict[str, object]:
    """Begin to write and never end."""
    database = Database.open(url)
    with database.begin() as session:
        create_tenant(session, f"team-{number}", actor=PLATFORM)
        say("writing")
        sys.stdin.read()
    return {}


if __name__ == "__main__":
    say("ready")
    sys.stdin.readline()
    work = {"crowd": crowd, "stall": stall}[sys.argv[1]]
    say(json.dumps(work(sys.argv[2], int(sys.argv[3]))))
