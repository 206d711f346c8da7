"""Archives of corpora on their way into a tenant's storage: received, unpacked, checked, put in place."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from coat_ray.corpus.builtin import MANIFESTS
from coat_ray.tenancy.corpora import Corpus
from coat_ray.tenancy.errors import Denied
from coat_ray.tenancy.limits import check_storage
from coat_ray.tenancy.quotas import get_quota
from coat_ray.tenancy.usage_report import stored_bytes
from serve.archives import KINDS, unpack
from serve.corpus_store import Place, check_asked, facts_of, known_corpus, put_in_place, working_folder


class UploadTooLarge(ValueError):
    """More than the platform takes in one upload."""


class UnknownArchive(ValueError):
    """A body of another kind than can be unpacked."""


class Upload:
    """One archive that comes in pieces. Close it, whatever happens: then nothing of it is left but the corpus."""

    def __init__(self, place: Place, name: str, kind: str, announced: int | None) -> None:
        """Get ready for an archive of media type *kind*, of *announced* bytes if the sender says so.

        Raises:
            Forbidden: the principal is no member of the tenant.
            Denied: what is announced is more than the quota leaves.
            TenantNotFound: no such tenant.
            UnknownArchive: another media type.
            UploadBusy: another corpus of the tenant is on its way.
            UploadTooLarge: what is announced is more than the platform takes.
            ValueError: a name that cannot be a corpus'.
        """
        self._place, self._name, self._kind, self._received = place, name, kind, 0
        check_asked(place, name)
        if kind not in KINDS:
            raise UnknownArchive(f"a corpus is sent as {', '.join(KINDS)}; the content type here is {kind!r}")
        self._quota = _Quota(place, name)
        self._allow_received(announced or 0)
        with ExitStack() as stack:
            self._folder = stack.enter_context(working_folder(place.home))
            self._archive = stack.enter_context((self._folder / "archive").open("wb"))
            self._stack = stack.pop_all()

    def write(self, data: bytes) -> None:
        """Take the next piece.

        Raises:
            Denied: the quota is reached.
            UploadTooLarge: more than the platform takes.
        """
        self._allow_received(self._received + len(data))
        self._archive.write(data)
        self._received += len(data)

    def finish(self) -> tuple[Corpus, bool]:
        """Unpack, check, put in place; gives the corpus, and whether it is new.

        Raises:
            CorpusExists: the name stands for other content.
            Denied: the quota is reached.
            ValueError: an archive or a corpus that cannot be taken, as a sentence.
        """
        self._archive.close()
        unpacked = self._folder / "unpacked"
        unpacked.mkdir()
        archive = self._folder / "archive"
        unpack(archive, self._kind, unpacked, max_files=self._place.bounds.files, allow=self._allow_unpacked)
        archive.unlink()
        corpus = _corpus_in(unpacked)
        facts = facts_of(corpus, self._place.bounds.manifest_bytes)
        return put_in_place(self._place, self._name, corpus, facts, self._folder)

    def close(self) -> None:
        """Remove what is left."""
        self._stack.close()

    def _allow_received(self, num_bytes: int) -> None:
        most = self._place.bounds.archive_bytes
        if num_bytes > most:
            raise UploadTooLarge(f"an upload has at most {most:,} bytes; a larger corpus goes through the inbox")
        self._quota.allow(num_bytes, beside=self._place.bounds.wrapping_bytes)

    def _allow_unpacked(self, num_bytes: int) -> None:
        most = self._place.bounds.unpacked_bytes
        if num_bytes > most:
            raise UploadTooLarge(
                f"an archive unpacks to at most {most:,} bytes; a larger corpus goes through the inbox"
            )
        self._quota.allow(num_bytes)


class _Quota:
    """What the quota leaves. A corpus of the same name has its bytes already: sent again, it needs none."""

    def __init__(self, place: Place, name: str) -> None:
        self._place = place
        known = known_corpus(place, name)
        self._credit = known.storage_bytes if known else 0
        self._left = self._now_left()

    def allow(self, num_bytes: int, beside: int = 0) -> None:
        """Pass what the quota leaves room for, and *beside* more."""
        if self._left is None or num_bytes <= self._left + beside:
            return
        with self._place.database.read() as session:
            denial = check_storage(session, self._place.tenant, num_bytes=max(0, num_bytes - self._credit))
        if denial is not None:
            raise Denied(denial)
        self._left = self._now_left()

    def _now_left(self) -> int | None:
        with self._place.database.read() as session:
            allowed = get_quota(session, self._place.tenant).storage_bytes
            used = stored_bytes(session, self._place.tenant)
        return None if allowed is None else allowed - used + self._credit


def _corpus_in(folder: Path) -> Path:
    """The folder itself, or the only folder in it where the manifests are not at the top."""
    inside = list(folder.iterdir())
    alone = inside[0] if len(inside) == 1 and inside[0].is_dir() else None
    return alone if alone is not None and not (folder / MANIFESTS[0]).exists() else folder
