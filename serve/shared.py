"""What other tenants share, where a tenant's jobs look for it: links under ``shared/``, as the database says.

The platform's API asks the database and never these links. Jobs run as the platform's own user, so the file system does
not stop one from writing through a link: what a job does through ``ModelRegistry`` and by corpus names only reads.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from coat_ray.storage import Storage, locked
from coat_ray.tenancy.database import Database
from coat_ray.tenancy.ledger_tables import ShareKind
from coat_ray.tenancy.sharing import Share, shared_with

logger = logging.getLogger(__name__)


def place_shared(database: Database, storage: Storage, tenant: str) -> None:
    """Make exactly the links that are in force for a tenant, and remove whatever else lies in its ``shared`` folder.

    Called before each of its jobs starts and at every grant and revocation; may run many times at once.
    """
    home = storage.tenant(tenant)
    home.root.parent.mkdir(parents=True, exist_ok=True)
    with locked(home.root.parent / f".{home.root.name}.lock"):  # beside the folder, where no job of the tenant looks
        with database.read() as session:
            shares = shared_with(session, tenant)
        wanted = dict(filter(None, (_link(share, storage) for share in shares)))
        if home.shared.is_symlink():
            home.shared.unlink()
        _remove_others(home.shared, wanted)
        for place, target in wanted.items():
            link = home.shared / place
            if not link.is_symlink():
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(target)


def _link(share: Share, storage: Storage) -> tuple[PurePosixPath, Path] | None:
    """Place under ``shared`` and target; None for what needs no link, or is no plain folder inside its owner's root."""
    theirs = storage.tenant(share.owner)
    if share.kind is ShareKind.MODEL:
        name, _, version = share.name.partition("@")
        place, target = PurePosixPath("models", share.owner, name, version), theirs.models() / name / version
    elif share.kind is ShareKind.CORPUS:
        place, target = PurePosixPath("corpora", share.owner, share.name), theirs.corpora / share.name
    else:
        return None
    if not target.is_dir() or not theirs.holds(target):
        logger.warning("%s %s of %s is shared and lies behind a link or is gone", share.kind, share.name, share.owner)
        return None
    return place, target.absolute()


def _remove_others(root: Path, wanted: Mapping[PurePosixPath, Path]) -> None:
    """Links are removed and never followed, whoever made them."""
    for folder, folders, files in os.walk(root, topdown=False):
        for path in (Path(folder, name) for name in [*folders, *files]):
            if path.is_dir() and not path.is_symlink():
                if not any(path.iterdir()):
                    path.rmdir()
            elif not path.is_symlink() or path.readlink() != wanted.get(PurePosixPath(path.relative_to(root))):
                path.unlink()
