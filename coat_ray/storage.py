"""Where everything lies on disk, and the one way to write a file so that a reader never sees half of it."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

DEFAULT_TENANT = "default"
"""Owner of runs and models where no platform is configured."""


def home() -> Path:
    """Root of all state. Nothing is created.

    ``$COAT_HOME``; else the nearest folder ``.coat`` from the working directory upwards, so that what ``make train``
    made is found anywhere inside the repository; else ``~/.coat``.
    """
    stated = os.environ.get("COAT_HOME")
    if stated:
        return Path(stated).expanduser().absolute()
    here = Path.cwd()
    near = (folder / ".coat" for folder in (here, *here.parents) if (folder / ".coat").is_dir())
    return next(near, Path.home() / ".coat")


@dataclass(frozen=True)
class Storage:
    """The folders under one root. Paths are named here and made by whoever writes into them."""

    root: Path

    @classmethod
    def default(cls) -> Storage:
        """Storage under :func:`home`."""
        return cls(home())

    @property
    def corpora(self) -> Path:
        """Unpacked built-in corpora, and those that a tenant registered, by name."""
        return self.root / "corpora"

    @property
    def inbox(self) -> Path:
        """Where an operator lays folders of a tenant that are too large to upload; registering takes them from here."""
        return self.root / "inbox"

    @property
    def incoming(self) -> Path:
        """Uploads on their way, and what is being removed; nothing here is of use once its request has ended."""
        return self.root / "incoming"

    @property
    def targets(self) -> Path:
        """Target datasets, one folder per expert fingerprint."""
        return self.root / "targets"

    @property
    def cache(self) -> Path:
        """Downloads that can be fetched again."""
        return self.root / "cache"

    @property
    def submissions(self) -> Path:
        """Configurations and lease proofs of the jobs that the platform starts; readable by its own user only."""
        return self.root / "submissions"

    @property
    def shared(self) -> Path:
        """What others share with this tenant, as links: ``models/OWNER/NAME/VERSION`` and ``corpora/OWNER/NAME``.

        The platform makes them and removes whatever else lies there.
        """
        return self.root / "shared"

    def tenant(self, name: str) -> Storage:
        """The storage of one tenant of a platform: everything that its jobs see."""
        return Storage(self.root / "tenants" / name)

    def runs(self, tenant: str = DEFAULT_TENANT) -> Path:
        """Run records of one tenant."""
        return self.root / "runs" / tenant

    def models(self, tenant: str = DEFAULT_TENANT) -> Path:
        """Model records and adapters of one tenant."""
        return self.root / "models" / tenant

    def holds(self, path: Path) -> bool:
        """Whether *path*, which is named under this root, lies there itself and behind no link."""
        return path.resolve() == self.root.resolve() / path.relative_to(self.root)


def atomic_write(path: Path | str, data: bytes | str) -> None:
    """Write *data* under a temporary name in the same folder, flush it to disk, rename it over *path*.

    A process that dies on the way leaves the old file as it was. Missing parent folders are made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(_default_mode())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock of a file, which is made in its folder; a process that dies lets go.

    Raises:
        BlockingIOError: another process holds it, and *wait* is False.
    """
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def private_write(path: Path, text: str) -> None:
    """Write a file that only this user can read."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    temporary.replace(path)


def sync_folder(folder: Path) -> None:
    """Make a rename inside *folder* survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _default_mode() -> int:
    """Permissions that a plain ``open`` would give; mkstemp alone makes files private."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
