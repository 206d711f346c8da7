"""How many bytes lie under each tenant's root, counted as changes of what the usage events say.

Whoever stores or removes something may record it at once, so that a quota holds at once; the meter then finds nothing
left to add. What nobody recorded (runs, checkpoints, targets) it adds. As it compares with the sum of all events, it
keeps nothing of its own: it may be killed and started again, and nothing is counted twice.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from coat_ray.storage import Storage
from coat_ray.tenancy.database import Database
from coat_ray.tenancy.tables import UsageKind
from coat_ray.tenancy.tenants import list_tenants
from coat_ray.tenancy.usage import record_event
from coat_ray.tenancy.usage_report import stored_bytes

logger = logging.getLogger(__name__)


def measure(database: Database, storage: Storage, tenant: str, *, now: datetime | None = None) -> int:
    """Bytes under a tenant's root; the change is recorded.

    Where something was recorded while the meter walked, it cannot know which side of it that fell on, and leaves the
    change to the next time.
    """
    with database.read() as session:
        before = stored_bytes(session, tenant)
    home = storage.tenant(tenant)
    found = tree_bytes(home.root, leave_out=(home.cache, home.inbox, home.incoming))
    if found != before:
        with database.begin() as session:
            if stored_bytes(session, tenant) == before:
                key = f"measured {secrets.token_hex(8)}"
                record_event(session, tenant, UsageKind.STORAGE_BYTES, found - before, key=key, at=now)
    return found


def measure_all(database: Database, storage: Storage, *, now: datetime | None = None) -> dict[str, int]:
    """Bytes of every tenant, closed ones too; one that cannot be measured is left out and stands in the log."""
    with database.read() as session:
        names = [tenant.name for tenant in list_tenants(session, closed=True)]
    found = {}
    for name in names:
        try:
            found[name] = measure(database, storage, name, now=now)
        except OSError as error:
            logger.warning("the storage of tenant %s could not be measured: %s", name, error)
    return found


def tree_bytes(root: Path, leave_out: tuple[Path, ...] = ()) -> int:
    """Lengths of all regular files under a folder, together; links are not followed, hard-linked files count once.

    What vanishes meanwhile does not count.
    """
    total, seen = 0, set()
    for entry in _files(root, frozenset(map(str, leave_out))):
        try:
            facts = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        if facts.st_nlink > 1:
            if (facts.st_dev, facts.st_ino) in seen:
                continue
            seen.add((facts.st_dev, facts.st_ino))
        total += facts.st_size
    return total


def _files(root: Path, leave_out: frozenset[str]) -> Iterator[os.DirEntry[str]]:
    folders = [str(root)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.extend([] if entry.path in leave_out else [entry.path])
                    elif entry.is_file(follow_symlinks=False):
                        yield entry
        except (FileNotFoundError, NotADirectoryError):
            continue
