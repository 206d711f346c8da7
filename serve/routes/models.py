"""Models: list, show, alias, remove. The API names them ``TENANT/NAME@VERSION``; never a place on a machine."""

from __future__ import annotations

import re
import shutil
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from coat_ray.registry.models import ModelRecord, ModelRegistry
from coat_ray.tenancy import audit
from coat_ray.tenancy.errors import BadRequest
from coat_ray.tenancy.ledger_tables import ShareKind
from coat_ray.tenancy.roles import Role
from coat_ray.tenancy.sharing import check_unshared, shares_of
from serve.access import Asking, Caller
from serve.visible import share_name, visible_model, visible_models

router = APIRouter(prefix="/models", tags=["models"])

Ref = Annotated[
    str,
    Path(pattern=r"^[A-Za-z0-9._@/-]{1,200}$", description="[TENANT/]NAME, [TENANT/]NAME@VERSION or [TENANT/]ALIAS"),
]
Tenant = Annotated[str | None, Query(max_length=63, description="whose; only an owner may name another than its own")]

_PLACE = re.compile(r"(?<![\w:/.])(?:/[^\s/,;()]+)+/(?=[^\s/])")


class AliasRequest(BaseModel):
    """Another name for one version; null takes the one that it has."""

    model_config = ConfigDict(extra="forbid")

    alias: str | None = Field(max_length=63)


@router.get("")
def listed(asking: Asking, tenant: Tenant = None) -> dict[str, Any]:
    """Every version of the caller's models and of those shared with it, newest first; for an owner of all tenants."""
    with asking.recorded("model"):
        whose = None if tenant is None else asking.acting_in(tenant)
        with asking.platform.database.read() as session:
            return {"data": _rows(session, asking, visible_models(session, asking, whose))}


@router.get("/{ref:path}")
def shown(ref: Ref, asking: Asking) -> dict[str, Any]:
    """One model: what it was made from, how it scores, its licence and what restricts it."""
    with asking.recorded(f"model/{ref}"), asking.platform.database.read() as session:
        return _rows(session, asking, [visible_model(session, asking, ref)])[0]


@router.post("/{ref:path}/alias")
def aliased(ref: Ref, asked: AliasRequest, asking: Asking) -> dict[str, Any]:
    """Let an alias mean exactly this version, whatever it meant before."""
    with asking.recorded(f"model/{ref}"):
        record = _changeable(asking, ref, Role.MEMBER, "give aliases to its models")
        with asking.platform.database.begin() as session:
            changed = _registry(asking, record).alias(share_name(record), asked.alias)
            _record(session, asking, "model.alias", record, alias=asked.alias)
            return _rows(session, asking, [changed.model_copy(update={"owner": record.owner})])[0]


@router.delete("/{ref:path}")
def removed(ref: Ref, asking: Asking) -> dict[str, Any]:
    """Remove one version, named exactly; refused while it is shared. Its number is not given again."""
    with asking.recorded(f"model/{ref}"):
        record = _changeable(asking, ref, Role.ADMIN, "remove its models")
        if "@" not in ref:
            raise BadRequest(f"say which version to remove, such as {record.ref}")
        registry, own = _registry(asking, record), record.model_copy(update={"owner": None})
        with ExitStack() as undo:
            with asking.platform.database.begin() as session:
                check_unshared(session, _owner(asking, record), ShareKind.MODEL, share_name(record))
                row = _rows(session, asking, [record])[0]
                _record(session, asking, "model.remove", record)
                aside = registry.set_aside(own)
                undo.callback(registry.put_back, own, aside)
            undo.pop_all()
    shutil.rmtree(aside, ignore_errors=True)  # outside of the transaction: others wait while one writes
    return row


def _changeable(asking: Caller, ref: str, role: Role, what: str) -> ModelRecord:
    """A visible model, if the caller has that role in its tenant."""
    with asking.platform.database.read() as session:
        record = visible_model(session, asking, ref)
    asking.principal.require(role, _owner(asking, record), what)
    return record


def _owner(asking: Caller, record: ModelRecord) -> str:
    return record.owner or asking.tenant


def _registry(asking: Caller, record: ModelRecord) -> ModelRegistry:
    return ModelRegistry(asking.platform.storage.tenant(_owner(asking, record)))


def _record(session: Session, asking: Caller, action: str, record: ModelRecord, **detail: Any) -> None:
    target = f"model/{share_name(record)}"
    audit.record(session, asking.principal, action, target, tenant=_owner(asking, record), detail=detail)


def _rows(session: Session, asking: Caller, records: Sequence[ModelRecord]) -> list[dict[str, Any]]:
    """Records as the API shows them. With whom a model is shared is shown to its own tenant."""
    readers = defaultdict(list)
    for share in shares_of(session, asking.principal.tenant):
        readers[share.owner, share.kind, share.name].append(share.grantee)
    rows = []
    for record in records:
        owner = _owner(asking, record)
        row = {
            "model": f"{owner}/{share_name(record)}",
            **record.model_dump(mode="json", exclude={"owner", "adapter"}),
            "tenant": owner,
            "shared": not asking.principal.may(Role.VIEWER, owner),
            "shared_with": readers[owner, ShareKind.MODEL, share_name(record)],
        }
        rows.append({key: _without_places(value) for key, value in row.items()})
    return rows


def _without_places(value: Any) -> Any:
    """Of a path on a machine only its last part: where something lay when a model was made is nobody else's."""
    if isinstance(value, str):
        return _PLACE.sub("", value)
    if isinstance(value, dict):
        return {key: _without_places(part) for key, part in value.items()}
    return [_without_places(part) for part in value] if isinstance(value, list) else value
