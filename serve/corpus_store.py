"""Where the corpora of a tenant lie: each put in place by one rename, taken away by another, with its record.

One at a time comes for each tenant, so that what lies in ``incoming`` is at most twice what its quota leaves, and so
that whoever comes next knows that anything found there was left by a request that died.
"""

from __future__ import annotations

import fcntl
import filecmp
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from coat_ray.corpus.builtin import BUILTIN
from coat_ray.corpus.contained import files_of, inspect_folder
from coat_ray.registry.licences import NOT_STATED
from coat_ray.storage import Storage, sync_folder
from coat_ray.tenancy.corpora import (
    Corpus,
    CorpusExists,
    CorpusFacts,
    CorpusNotFound,
    check_name,
    get_corpus,
    register_corpus,
    remove_corpus,
)
from coat_ray.tenancy.database import Database
from coat_ray.tenancy.errors import BadRequest
from coat_ray.tenancy.roles import Principal, Role
from coat_ray.tenancy.tenants import get_tenant

LOCK = ".lock"


class UploadBusy(RuntimeError):
    """Another corpus of the tenant is on its way."""


@dataclass(frozen=True)
class Bounds:
    """What one upload may be, whatever the tenant's quota leaves. Larger corpora go through the inbox."""

    archive_bytes: int = 20 * 2**30
    wrapping_bytes: int = 64 * 2**20
    """What an archive may have beside the content of its files, which alone counts against the quota."""
    unpacked_bytes: int = 50 * 2**30
    files: int = 100_000
    manifest_bytes: int = 128 * 2**20
    stall_s: float = 60.0
    """How long nothing may come before the upload is given up."""


DEFAULT_BOUNDS = Bounds()


@dataclass(frozen=True)
class Place:
    """Where corpora of one tenant go, and who brings them."""

    database: Database
    storage: Storage
    principal: Principal
    tenant: str
    bounds: Bounds = DEFAULT_BOUNDS

    @property
    def home(self) -> Storage:
        """The tenant's own storage."""
        return self.storage.tenant(self.tenant)


def register_folder(place: Place, name: str, path: str) -> Corpus:
    """Make a corpus of a folder in the tenant's inbox by moving it to the others.

    Moved, and not kept in place: so jobs find it by its name, its bytes are metered, and removing it frees them, as
    with any other corpus; and what was checked is not where somebody still copies to.

    Raises:
        Forbidden: the principal is no member of the tenant.
        CorpusExists: the name is taken.
        Denied: it is more than the quota leaves.
        TenantNotFound: no such tenant.
        UploadBusy: another corpus of the tenant is on its way.
        BadRequest: no such folder, or one that cannot be taken, as a sentence.
    """
    check_asked(place, name)
    if known_corpus(place, name):
        raise CorpusExists(name)
    folder = _in_inbox(place.home, path)
    with working_folder(place.home) as work:
        facts = facts_of(folder, None)
        return put_in_place(place, name, folder, facts, work)[0]


def remove(place: Place, name: str) -> Corpus:
    """Strike a corpus out and delete its files.

    Raises:
        CorpusNotFound: no such corpus.
        CorpusInUse: a run that has not ended needs it.
        StillShared: other tenants may read it.
        Forbidden: the principal is no admin of the tenant.
    """
    folder, incoming = place.home.corpora / name, place.home.incoming
    with ExitStack() as undo:
        with place.database.begin() as session:
            corpus = remove_corpus(session, name, actor=place.principal, tenant=place.tenant)
            incoming.mkdir(parents=True, exist_ok=True)
            gone = incoming / f"removed-{secrets.token_hex(8)}"
            _move_if_there(folder, gone)
            undo.callback(_move_if_there, gone, folder)
        undo.pop_all()
    shutil.rmtree(gone, ignore_errors=True)
    return corpus


def check_asked(place: Place, name: str) -> None:
    """Everything that can be said before a byte is read; no folder is named after a tenant that there is not."""
    place.principal.require(Role.MEMBER, place.tenant, "register corpora")
    with place.database.read() as session:
        get_tenant(session, place.tenant)
    check_name(name)
    for built_in in BUILTIN:
        if name.startswith(built_in):
            raise BadRequest(
                f"{name!r} cannot name a corpus: names that begin with {built_in!r} are the platform's own"
            )


def known_corpus(place: Place, name: str) -> Corpus | None:
    """The corpus of that name, if there is one."""
    with place.database.read() as session:
        try:
            return get_corpus(session, name, actor=place.principal, tenant=place.tenant)
        except CorpusNotFound:
            return None


@contextmanager
def working_folder(home: Storage) -> Iterator[Path]:
    """A fresh folder in ``incoming`` for the one request of the tenant that brings a corpus; it goes at the end."""
    home.incoming.mkdir(parents=True, exist_ok=True)
    with (home.incoming / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UploadBusy("another corpus of this tenant is on its way; send this one when it has arrived") from None
        for left in home.incoming.iterdir():
            if left.name != LOCK:
                shutil.rmtree(left, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(dir=home.incoming))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def facts_of(folder: Path, max_manifest_bytes: int | None) -> CorpusFacts:
    """What a checked folder holds.

    Raises:
        ManifestError: what is wrong with it.
    """
    found = inspect_folder(folder, max_manifest_bytes=max_manifest_bytes)
    licences = tuple(licence or NOT_STATED for licence in found.licences)
    return CorpusFacts(found.fingerprint, found.rows, found.audio_seconds, found.num_bytes, licences)


def put_in_place(place: Place, name: str, folder: Path, facts: CorpusFacts, work: Path) -> tuple[Corpus, bool]:
    """Write the corpus down and rename its folder, in one transaction; gives it, and whether it is new.

    Raises:
        CorpusExists: the name stands for other content.
        Denied: it is more than the quota leaves.
        BadRequest: the folder cannot be renamed.
    """
    target = place.home.corpora / name
    known = known_corpus(place, name)
    if known and target.is_dir():
        if known.fingerprint != facts.fingerprint or not _same_files(target, folder):
            raise CorpusExists(name)
        return known, False
    target.parent.mkdir(parents=True, exist_ok=True)
    with place.database.begin() as session:
        corpus = register_corpus(
            session, name, facts, actor=place.principal, tenant=place.tenant, path=f"corpora/{name}"
        )
        _move_if_there(target, work / "left")  # by a request that died between its rename and its commit
        try:
            folder.rename(target)
        except OSError as error:
            why = error.strerror or str(error)
            raise BadRequest(
                f"the folder cannot be moved ({why}): it must lie on the file system of the storage"
            ) from error
    sync_folder(target.parent)
    return corpus, known is None


def _move_if_there(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except FileNotFoundError:
        return


def _in_inbox(home: Storage, path: str) -> Path:
    parts = PurePosixPath(path)
    folder = home.inbox / parts
    problem = f"no folder {path!r} in the inbox of the tenant's storage; its path is relative, without '..' and links"
    if not path.isprintable() or parts.is_absolute() or ".." in parts.parts or not parts.parts:
        raise BadRequest(problem)
    try:
        if folder.is_dir() and folder.resolve() == home.root.resolve() / "inbox" / parts:
            return folder
    except OSError:  # a name that no file system takes
        pass
    raise BadRequest(problem)


def _same_files(one: Path, other: Path) -> bool:
    """Whether two folders hold the same files, byte for byte."""
    names = files_of(one)
    return names == files_of(other) and all(filecmp.cmp(one / name, other / name, shallow=False) for name in names)
