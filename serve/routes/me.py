"""Who asks, what its tenant may have, and what that uses now."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from coat_ray.tenancy.quotas import get_quota
from coat_ray.tenancy.standing import used_now
from serve.access import Asking

router = APIRouter(tags=["tenants"])


@router.get("/me")
def me(asking: Asking) -> dict[str, Any]:
    """The caller's key, role and tenant, with its limits (null: unlimited) and what counts against them."""
    who = asking.principal
    answer: dict[str, Any] = {"key": who.key_id, "role": who.role.value, "tenant": who.tenant}
    if who.tenant is None:
        return {**answer, "quota": None, "used": None}
    with asking.platform.database.read() as session:
        return {**answer, "quota": get_quota(session, who.tenant).model_dump(), "used": used_now(session, who.tenant)}
