"""Who asks: from the Authorization header to a principal, with every denial on record."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request
from starlette.datastructures import Headers

from coat_ray.storage import Storage
from coat_ray.tenancy.audit import refusals_recorded
from coat_ray.tenancy.database import Database
from coat_ray.tenancy.errors import AuthenticationFailed, BadRequest, Denied
from coat_ray.tenancy.keys import authenticate
from coat_ray.tenancy.ledger import Ledger
from coat_ray.tenancy.rates import take
from coat_ray.tenancy.roles import Principal, Role
from coat_ray.tenancy.tables import UsageKind
from coat_ray.tenancy.usage_count import UsageCount
from serve.corpus_store import DEFAULT_BOUNDS, Bounds
from serve.jobs import Cluster
from serve.streams import Streams
from serve.unknown_callers import UnknownCallers


@dataclass(frozen=True)
class Platform:
    """What every route works with."""

    database: Database
    ledger: Ledger
    storage: Storage
    cluster: Cluster | None = None
    uploads: Bounds = DEFAULT_BOUNDS
    usage: UsageCount = field(default_factory=UsageCount)
    streams: Streams = field(default_factory=Streams)
    unknown: UnknownCallers = field(default_factory=UnknownCallers)


@dataclass(frozen=True)
class Caller:
    """One request: who asks, and the platform."""

    principal: Principal
    platform: Platform
    action: str

    @property
    def tenant(self) -> str:
        """The caller's tenant.

        Raises:
            BadRequest: an owner, who has none and must name one.
        """
        if self.principal.tenant is None:
            raise BadRequest("an owner's key belongs to no tenant: say which one, with --tenant NAME or ?tenant=NAME")
        return self.principal.tenant

    def acting_in(self, tenant: str | None) -> str:
        """The tenant that a request is about: the caller's own, or for an owner any that is named."""
        if tenant is None or tenant == self.principal.tenant:
            return self.tenant if tenant is None else tenant
        self.principal.require(Role.OWNER, None, "act in another tenant")
        return tenant

    @contextmanager
    def recorded(self, target: str = "", tenant: str | None = None) -> Iterator[None]:
        """Write denials inside into the audit log."""
        about = tenant or self.principal.tenant
        with refusals_recorded(self.platform.database, self.principal, self.action, target, tenant=about):
            yield


def key_in(headers: Headers) -> str:
    """The text after ``Bearer`` in the Authorization header; nothing where there is none."""
    scheme, _, text = headers.get("authorization", "").partition(" ")
    return text.strip() if scheme.lower() == "bearer" else ""


def caller(request: Request) -> Caller:
    """Authenticate a request and count it against its tenant's rate.

    Raises:
        AuthenticationFailed: no key, or one that is not accepted.
        Denied: too many requests in this minute.
    """
    platform: Platform = request.app.state.platform
    action = f"{request.method} {request.scope['route'].path_format}"
    try:
        principal = authenticate(platform.database, key_in(request.headers))
    except AuthenticationFailed as refusal:
        platform.unknown.record(
            platform.database, action, request.url.path, refusal.reason, tenant=refusal.tenant, detail=refusal.detail
        )
        raise
    found = Caller(principal, platform, action)
    if principal.tenant is not None:
        with found.recorded(request.url.path):
            if (denial := take(platform.database, principal.tenant)) is not None:
                raise Denied(denial)
        platform.usage.add(principal.tenant, UsageKind.REQUESTS)
    return found


Asking = Annotated[Caller, Depends(caller)]
