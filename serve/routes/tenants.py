"""Tenants, their quotas and their keys."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from coat_ray.tenancy.errors import TenantNotFound
from coat_ray.tenancy.keys import Key, create_key, list_keys, revoke_key
from coat_ray.tenancy.quotas import Quota, get_quota, set_quota
from coat_ray.tenancy.roles import Role
from coat_ray.tenancy.tenants import Tenant, close_tenant, create_tenant, get_tenant, list_tenants
from serve.access import Asking, Caller

router = APIRouter(tags=["tenants"])


class TenantRequest(BaseModel):
    """A tenant that the platform's owner makes."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=63)
    title: str = Field("", max_length=200)
    quota: Quota = Quota()


class KeyRequest(BaseModel):
    """A key for somebody. An owner's key has no tenant."""

    model_config = ConfigDict(extra="forbid")

    role: Role
    tenant: str | None = Field(None, max_length=63)
    label: str = Field("", max_length=200)
    expires_at: AwareDatetime | None = None
    require_audio: bool = Field(False, description="questions to models must bring a clip")


@router.get("/tenants")
def listed(asking: Asking) -> dict[str, Any]:
    """All tenants for an owner, else the caller's own."""
    with asking.platform.database.read() as session:
        owner = asking.principal.role is Role.OWNER
        found = list_tenants(session) if owner else [get_tenant(session, asking.tenant)]
    return {"data": [_tenant(tenant) for tenant in found]}


@router.post("/tenants", status_code=201)
def created(asked: TenantRequest, asking: Asking) -> dict[str, Any]:
    """Make a tenant."""
    with asking.recorded(f"tenant/{asked.name}"), asking.platform.database.begin() as session:
        made = create_tenant(session, asked.name, actor=asking.principal, title=asked.title, quota=asked.quota)
    return _tenant(made)


@router.delete("/tenants/{name}")
def closed(name: str, asking: Asking) -> dict[str, Any]:
    """End a tenant's keys; what it made stays."""
    with asking.recorded(f"tenant/{name}"):
        _visible(name, asking)
        with asking.platform.database.begin() as session:
            return _tenant(close_tenant(session, name, actor=asking.principal))


@router.get("/tenants/{name}/quota")
def quota(name: str, asking: Asking) -> dict[str, Any]:
    """What a tenant may have."""
    with asking.recorded(f"tenant/{name}"):
        _visible(name, asking)
        with asking.platform.database.read() as session:
            return get_quota(session, name).model_dump()


@router.patch("/tenants/{name}/quota")
def changed(name: str, changes: dict[str, float | None], asking: Asking) -> dict[str, Any]:
    """Change some limits; null is unlimited."""
    with asking.recorded(f"tenant/{name}"):
        _visible(name, asking)
        asking.principal.require(Role.OWNER, None, "set quotas")
        with asking.platform.database.begin() as session:
            after = get_quota(session, name).changed(changes)
            set_quota(session, name, after, actor=asking.principal)
    return after.model_dump()


@router.get("/keys")
def keys(asking: Asking) -> dict[str, Any]:
    """Keys of the caller's tenant, for its admins; for an owner all."""
    with asking.recorded("key"):
        asking.principal.require(Role.ADMIN, asking.principal.tenant, "list keys")
        with asking.platform.database.read() as session:
            return {"data": [_key(key) for key in list_keys(session, asking.principal.tenant)]}


@router.post("/keys", status_code=201)
def key_created(asked: KeyRequest, asking: Asking) -> dict[str, Any]:
    """Make a key; its text is in this answer and nowhere else."""
    tenant = asked.tenant
    if tenant is None and asked.role is not Role.OWNER:
        tenant = asking.principal.tenant
    with asking.recorded("key"):
        if tenant is not None:
            _visible(tenant, asking)
        with asking.platform.database.begin() as session:
            made = create_key(
                session,
                role=asked.role,
                tenant=tenant,
                actor=asking.principal,
                label=asked.label,
                expires_at=asked.expires_at,
                require_audio=asked.require_audio,
            )
    return {**_key(made.key), "key": made.text}


@router.delete("/keys/{key_id}")
def key_revoked(key_id: str, asking: Asking) -> dict[str, Any]:
    """End a key at once."""
    with asking.recorded(f"key/{key_id}"), asking.platform.database.begin() as session:
        return _key(revoke_key(session, key_id, actor=asking.principal))


def _visible(name: str, asking: Caller) -> None:
    """Another tenant cannot be told from one that does not exist."""
    if asking.principal.role is not Role.OWNER and name != asking.principal.tenant:
        raise TenantNotFound(name)


def _tenant(tenant: Tenant) -> dict[str, Any]:
    return {**vars(tenant), "created_at": tenant.created_at.isoformat(), "closed_at": _iso(tenant.closed_at)}


def _key(key: Key) -> dict[str, Any]:
    times = {name: _iso(getattr(key, name)) for name in ("created_at", "expires_at", "used_at", "revoked_at")}
    facts = {"id": key.id, "tenant": key.tenant, "role": key.role.value, "label": key.label}
    return {**facts, **times, "require_audio": key.require_audio}


def _iso(instant: datetime | None) -> str | None:
    return instant.isoformat() if instant else None
