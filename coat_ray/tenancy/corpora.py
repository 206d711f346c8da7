"""Corpora that tenants registered, as records: what they hold and under which licences, not what is in the clips.

The files lie under ``corpora/NAME`` in the tenant's own storage, where its jobs find them by name.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from coat_ray.tenancy import audit
from coat_ray.tenancy.columns import NAME_LENGTH
from coat_ray.tenancy.errors import BadRequest, Denied
from coat_ray.tenancy.ledger_tables import CorpusRow, RunRow, ShareKind
from coat_ray.tenancy.limits import check_storage
from coat_ray.tenancy.roles import Principal, Role
from coat_ray.tenancy.runs import ENDED
from coat_ray.tenancy.sharing import check_unshared, is_shared
from coat_ray.tenancy.tables import UsageKind
from coat_ray.tenancy.times import utc_now
from coat_ray.tenancy.usage import record_event

NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{NAME_LENGTH - 1}}}")


class CorpusNotFound(LookupError):
    """No corpus of that name that the asker may see."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no corpus {name!r}; `coat corpora list` shows what there is")


class CorpusExists(ValueError):
    """The name stands for other content."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is a corpus {name!r} already, with other content; choose another name, or remove it")


class CorpusInUse(ValueError):
    """A run that has not ended reads it."""


@dataclass(frozen=True)
class CorpusFacts:
    """What a corpus' files say about it. ``audio_seconds`` is None where a row with clips states no length."""

    fingerprint: str
    rows: int
    audio_seconds: float | None
    storage_bytes: int
    licences: tuple[str, ...]


@dataclass(frozen=True)
class Corpus:
    """One corpus. ``path`` is relative to the tenant's storage; ``created_by`` is the id of a key."""

    tenant: str
    name: str
    path: str
    fingerprint: str
    rows: int
    audio_seconds: float | None
    storage_bytes: int
    licences: tuple[str, ...]
    created_by: str | None
    created_at: datetime

    def to_json(self) -> dict[str, Any]:
        """Plain data for an API's answer."""
        return asdict(self) | {"licences": list(self.licences), "created_at": self.created_at.isoformat()}


def check_name(name: str) -> str:
    """The name as given.

    Raises:
        BadRequest: it cannot name a corpus.
    """
    if not NAME.fullmatch(name):
        raise BadRequest(
            f"{name!r} cannot name a corpus: letters, digits, dots, hyphens and underscores, "
            f"a letter or digit first, at most {NAME_LENGTH}"
        )
    return name


def register_corpus(
    session: Session,
    name: str,
    facts: CorpusFacts,
    *,
    actor: Principal,
    tenant: str,
    path: str,
    now: datetime | None = None,
) -> Corpus:
    """Write a corpus down and count its bytes; registered again with the same facts, it is the corpus that is there.

    Raises:
        Forbidden: the actor is no member of the tenant.
        CorpusExists: the name stands for other content.
        Denied: more bytes than the tenant may store.
        BadRequest: a name that cannot be a corpus'.
    """
    actor.require(Role.MEMBER, tenant, "register corpora")
    check_name(name)
    if (row := session.get(CorpusRow, (tenant, name))) is not None:
        if (row.fingerprint, row.storage_bytes) != (facts.fingerprint, facts.storage_bytes):
            raise CorpusExists(name)
        return _to_corpus(row)
    if (denial := check_storage(session, tenant, num_bytes=facts.storage_bytes)) is not None:
        raise Denied(denial)
    plain = asdict(facts) | {"licences": list(facts.licences)}
    row = CorpusRow(tenant=tenant, name=name, path=path, created_by=actor.key_id, created_at=now or utc_now(), **plain)
    session.add(row)
    session.flush()
    _count(session, row, facts.storage_bytes, "stored", now)
    audit.record(session, actor, "corpus.register", f"corpus/{name}", tenant=tenant, detail=plain, now=now)
    return _to_corpus(row)


def get_corpus(session: Session, name: str, *, actor: Principal, tenant: str) -> Corpus:
    """One corpus of a tenant.

    Raises:
        CorpusNotFound: no such corpus, or one of another tenant, which the actor must not learn about.
    """
    return _to_corpus(_row(session, name, actor, tenant))


def list_corpora(session: Session, *, actor: Principal, tenant: str | None = None) -> list[Corpus]:
    """Corpora by name: of the actor's tenant; for the platform's owner of the one that is named, or of all."""
    wanted = select(CorpusRow).order_by(CorpusRow.tenant, CorpusRow.name)
    whose = tenant if actor.role is Role.OWNER else actor.tenant
    if whose is not None:
        wanted = wanted.where(CorpusRow.tenant == whose)
    return [_to_corpus(row) for row in session.scalars(wanted)]


def remove_corpus(session: Session, name: str, *, actor: Principal, tenant: str, now: datetime | None = None) -> Corpus:
    """Strike a corpus out, and count its bytes as freed.

    Raises:
        CorpusNotFound: no such corpus, or one of another tenant.
        Forbidden: the actor is no admin of the tenant.
        StillShared: others may read it.
        CorpusInUse: a run of the tenant that waits or holds a lease names it.
    """
    row = _row(session, name, actor, tenant)
    actor.require(Role.ADMIN, tenant, "remove corpora")
    check_unshared(session, tenant, ShareKind.CORPUS, name)
    _check_unused(session, tenant, name)
    corpus = _to_corpus(row)
    _count(session, row, -row.storage_bytes, "removed", now)
    session.delete(row)
    audit.record(session, actor, "corpus.remove", f"corpus/{name}", tenant=tenant, now=now)
    return corpus


def corpus_exists(session: Session, tenant: str, name: str) -> bool:
    """Whether a tenant's jobs may name this corpus: ``name`` of its own, ``owner/name`` shared with it."""
    owner, _, own = name.rpartition("/")
    if owner and not is_shared(session, owner, ShareKind.CORPUS, own, tenant):
        return False
    return session.get(CorpusRow, (owner or tenant, own)) is not None


def _row(session: Session, name: str, actor: Principal, tenant: str) -> CorpusRow:
    row = session.get(CorpusRow, (tenant, name))
    if row is None or not actor.may(Role.VIEWER, tenant):
        raise CorpusNotFound(name)
    return row


def _check_unused(session: Session, tenant: str, name: str) -> None:
    """Only the tenant's own runs: nobody else may read it, so that what others name holds nothing up."""
    active = select(RunRow.id, RunRow.config).where(RunRow.tenant == tenant, RunRow.state.not_in(ENDED))
    for run, config in session.execute(active):
        if name in _named(config):
            raise CorpusInUse(
                f"corpus {name!r} cannot be removed: run {run!r} needs it; stop that run, or wait until it has ended"
            )


def _named(config: Any) -> Iterator[str]:
    """Every ``corpus.name`` in a configuration, also where a sweep's holds that of its run, sets it or varies it."""
    if isinstance(config, str) and config.startswith("corpus.name="):
        yield config.removeprefix("corpus.name=")
    if isinstance(config, Mapping):
        corpus, varied = config.get("corpus"), config.get("corpus.name")
        if isinstance(corpus, Mapping) and isinstance(corpus.get("name"), str):
            yield corpus["name"]
        if isinstance(varied, Mapping):
            yield from (name for name in varied.get("choice", ()) if isinstance(name, str))
    inside = config.values() if isinstance(config, Mapping) else config if isinstance(config, list) else ()
    for part in inside:
        yield from _named(part)


def _count(session: Session, row: CorpusRow, num_bytes: int, what: str, now: datetime | None) -> None:
    """The random part lets a name be given, freed and given again; the transaction sees to it that each counts once."""
    key = f"corpus/{row.name} {what} {secrets.token_hex(8)}"
    record_event(session, row.tenant, UsageKind.STORAGE_BYTES, num_bytes, key=key, at=now)


def _to_corpus(row: CorpusRow) -> Corpus:
    return Corpus(
        tenant=row.tenant,
        name=row.name,
        path=row.path,
        fingerprint=row.fingerprint,
        rows=row.rows,
        audio_seconds=row.audio_seconds,
        storage_bytes=row.storage_bytes,
        licences=tuple(row.licences),
        created_by=row.created_by,
        created_at=row.created_at,
    )
