"""Which models a caller sees: those of its tenant and those shared with it, by what the database says."""

from __future__ import annotations

import logging

from sqlalchemy.orm import Session

from coat_ray.registry.models import ModelNotFound, ModelRecord, ModelRegistry, find_model, newest_first
from coat_ray.storage import Storage
from coat_ray.tenancy.ledger_tables import ShareKind
from coat_ray.tenancy.roles import Role
from coat_ray.tenancy.sharing import shared_with
from coat_ray.tenancy.tenants import get_tenant, list_tenants
from serve.access import Caller

logger = logging.getLogger(__name__)


def visible_models(session: Session, asking: Caller, tenant: str | None = None) -> list[ModelRecord]:
    """Every version that a caller may read, newest first; ``owner`` is set on those of tenants other than its own.

    Args:
        session: of the platform's database.
        asking: the caller.
        tenant: for the platform's owner: only this one's.

    Raises:
        TenantNotFound: an owner asks for a tenant that there is not.
    """
    storage = asking.platform.storage
    if asking.principal.role is Role.OWNER:
        tenants = [get_tenant(session, tenant)] if tenant else list_tenants(session, closed=True)
        return newest_first(record for known in tenants for record in _of_another(storage, known.name))
    shared = {(s.owner, s.name) for s in shared_with(session, asking.tenant) if s.kind is ShareKind.MODEL}
    theirs = [record for owner in {owner for owner, _ in shared} for record in _of_another(storage, owner)]
    received = (record for record in theirs if (record.owner, share_name(record)) in shared)
    return newest_first([*models_in(storage, asking.tenant), *received])


def visible_model(session: Session, asking: Caller, ref: str) -> ModelRecord:
    """The model that *ref* means to a caller: of its own tenant with or without the tenant's name in front.

    Raises:
        ModelNotFound: none, or one of another tenant, which the caller must not learn about.
    """
    return _found(ref, asking.principal.tenant, visible_models(session, asking))


def own_model(session: Session, asking: Caller, tenant: str, ref: str) -> ModelRecord:
    """The model of *tenant* itself that *ref* means, with or without the tenant's name in front.

    Raises:
        ModelNotFound: none; what others share with the tenant is not its own.
        TenantNotFound: an owner names a tenant that there is not.
    """
    get_tenant(session, tenant)  # before its name becomes part of a path
    return _found(ref, tenant, models_in(asking.platform.storage, tenant))


def models_in(storage: Storage, tenant: str) -> list[ModelRecord]:
    """A tenant's own models; none behind a link. The database must know the tenant."""
    home = storage.tenant(tenant)
    if not home.holds(home.models()):
        logger.warning("the models folder of tenant %s is left out: it lies behind a link", tenant)
        return []
    return ModelRegistry(home).list()


def share_name(record: ModelRecord) -> str:
    """What a grant of this version is made for: ``name@version``, whoever looks at it."""
    return f"{record.name}@{record.version}"


def _of_another(storage: Storage, tenant: str) -> list[ModelRecord]:
    return [record.model_copy(update={"owner": tenant}) for record in models_in(storage, tenant)]


def _found(ref: str, own: str | None, records: list[ModelRecord]) -> ModelRecord:
    if not records:
        raise ModelNotFound(f"no model {ref!r}; `coat models list` shows what there is")
    return find_model(ref.removeprefix(f"{own}/") if own else ref, records)
