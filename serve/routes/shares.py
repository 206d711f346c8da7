"""Shares: what one tenant lets another read, by explicit grant, until it ends it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from coat_ray.registry.licences import Terms, is_commercial, objection
from coat_ray.tenancy.corpora import get_corpus
from coat_ray.tenancy.ledger_tables import ShareKind
from coat_ray.tenancy.roles import Role
from coat_ray.tenancy.runs import RunNotFound, get_run
from coat_ray.tenancy.sharing import SharingRefused, grant, revoke, shared_with, shares_of
from coat_ray.tenancy.tenants import get_tenant
from serve.access import Asking, Caller
from serve.shared import place_shared
from serve.visible import own_model, share_name

router = APIRouter(prefix="/shares", tags=["shares"])

Tenant = Annotated[str | None, Query(max_length=63, description="whose; only an owner may name another than its own")]
ShareId = Annotated[int, Path(ge=1, lt=2**31)]


class ShareRequest(BaseModel):
    """A thing of the caller's tenant that another tenant may read."""

    model_config = ConfigDict(extra="forbid")

    kind: ShareKind
    name: str = Field(
        pattern=r"^[A-Za-z0-9._@/-]{1,200}$", description="a model's reference, a corpus' name, a run's id"
    )
    to: str = Field(alias="with", pattern=r"^[a-z0-9-]{1,63}$", description="the other tenant")
    non_commercial: bool = Field(False, description="the other tenant is bound to non-commercial use, and knows it")


@dataclass(frozen=True)
class Thing:
    """What is to be shared, under the name that the grant carries, and its terms."""

    name: str
    terms: Terms


@router.get("")
def listed(asking: Asking, tenant: Tenant = None) -> dict[str, Any]:
    """What the caller's tenant shares and what is shared with it, now; for an owner all."""
    with asking.recorded("share"):
        whose = None if tenant is None else asking.acting_in(tenant)
        with asking.platform.database.read() as session:
            if whose is None and asking.principal.role is Role.OWNER:
                found = shares_of(session)
            else:
                whose = get_tenant(session, whose or asking.tenant).name
                found = [*shares_of(session, whose), *shared_with(session, whose)]
    return {"data": [share.to_json() for share in sorted(found, key=lambda share: share.id)]}


@router.post("", status_code=201)
def granted(asked: ShareRequest, asking: Asking, tenant: Tenant = None) -> dict[str, Any]:
    """Let another tenant read a model's version, a corpus or a run. The answer states the terms that go with it."""
    platform = asking.platform
    with asking.recorded(f"{asked.kind}/{asked.name}"):
        owner = asking.acting_in(tenant)
        asking.principal.require(Role.ADMIN, owner, f"share a {asked.kind}")
        with platform.database.begin() as session:
            thing = THINGS[asked.kind](session, asking, owner, asked.name)
            refusal = objection(f"{asked.kind} {thing.name}", thing.terms, non_commercial=asked.non_commercial)
            if refusal is not None:
                raise SharingRefused(refusal)
            detail = {"non_commercial": asked.non_commercial, **_terms(thing.terms)}
            share = grant(session, owner, asked.kind, thing.name, asked.to, actor=asking.principal, detail=detail)
    place_shared(platform.database, platform.storage, share.grantee)
    return {**share.to_json(), **_terms(thing.terms)}


@router.delete("/{share_id}")
def ended(share_id: ShareId, asking: Asking) -> dict[str, Any]:
    """End a grant at once. A job of the other tenant that has read the thing already keeps what it read."""
    platform = asking.platform
    with asking.recorded(f"share/{share_id}"), platform.database.begin() as session:
        share = revoke(session, share_id, actor=asking.principal)
    place_shared(platform.database, platform.storage, share.grantee)
    return share.to_json()


def _model(session: Session, asking: Caller, owner: str, name: str) -> Thing:
    """Exactly one version: a later one may have other terms."""
    record = own_model(session, asking, owner, name)
    return Thing(share_name(record), Terms(record.licence, record.commercial_use, record.restricted_by))


def _corpus(session: Session, asking: Caller, owner: str, name: str) -> Thing:
    corpus = get_corpus(session, name, actor=asking.principal, tenant=owner)
    bound = tuple(licence for licence in corpus.licences if not is_commercial(licence))
    return Thing(corpus.name, Terms(" + ".join(corpus.licences), not bound, bound))


def _run(session: Session, asking: Caller, owner: str, name: str) -> Thing:
    """To look at: configuration, metrics and log, which carry no licence."""
    run = get_run(session, name, actor=asking.principal)
    if run.tenant != owner:
        raise RunNotFound(name)
    return Thing(run.id, Terms("", commercial_use=True, because=()))


THINGS: Mapping[ShareKind, Callable[[Session, Caller, str, str], Thing]] = {
    ShareKind.MODEL: _model,
    ShareKind.CORPUS: _corpus,
    ShareKind.RUN: _run,
}


def _terms(terms: Terms) -> dict[str, Any]:
    plain = asdict(terms)
    return {"licence": plain["licence"], "commercial_use": terms.commercial_use, "restricted_by": list(terms.because)}
