"""What was used, and who did what."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import PlainTextResponse
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from coat_ray.tenancy import audit
from coat_ray.tenancy.audit_export import to_csv as audit_csv
from coat_ray.tenancy.roles import Role
from coat_ray.tenancy.tables import Outcome
from coat_ray.tenancy.usage_report import COLUMNS, Column, to_csv, usage_totals
from serve.access import Asking

router = APIRouter(tags=["records"])


@router.get("/usage", response_model=None)
def usage(
    asking: Asking,
    by: Annotated[list[Column], Query()] = list(COLUMNS),  # noqa: B006 - FastAPI reads it, nobody changes it
    month: Annotated[str | None, Query(max_length=7)] = None,
    tenant: str | None = None,
    form: Annotated[Literal["json", "csv"], Query(alias="format")] = "json",
) -> dict[str, Any] | PlainTextResponse:
    """What the caller's tenant used, or for an owner all of them: seconds, storage, requests, audio and tokens."""
    with asking.recorded("usage"), asking.platform.database.read() as session:
        whose = tenant if asking.principal.role is Role.OWNER else asking.acting_in(tenant)
        totals = usage_totals(session, by=by, tenant=whose, month=month)
    if form == "csv":
        return PlainTextResponse(to_csv(totals), media_type="text/csv")
    return {"data": [asdict(total) for total in totals]}


class AuditFilter(BaseModel):
    """Which lines of the audit log; what is left out does not matter. ``before`` is a page's ``next_before``."""

    model_config = ConfigDict(extra="forbid")

    action: str | None = Field(None, max_length=64, description="with a dot at its end: all of a kind")
    target: str | None = Field(None, max_length=300)
    outcome: Outcome | None = None
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    before: int | None = Field(None, ge=0, lt=2**63)
    limit: int = Field(100, ge=1, le=1000)
    tenant: str | None = Field(None, max_length=63)
    form: Literal["json", "csv"] = Field("json", alias="format")


@router.get("/audit", response_model=None)
def audited(wanted: Annotated[AuditFilter, Query()], asking: Asking) -> dict[str, Any] | PlainTextResponse:
    """Changes and denials, newest first: of the caller's tenant for its admins, of all for an owner."""
    with asking.recorded("audit"):
        asking.principal.require(Role.ADMIN, asking.principal.tenant, "read the audit log")
        owner = asking.principal.role is Role.OWNER
        whose = wanted.tenant if owner else asking.acting_in(wanted.tenant)
        asking.platform.unknown.write_left_out(asking.platform.database)
        with asking.platform.database.read() as session:
            page = audit.query(session, **(wanted.model_dump(exclude={"form"}) | {"tenant": whose}))
    lines = [line.to_json() for line in page.records]
    if wanted.form == "csv":
        return PlainTextResponse(audit_csv(lines), media_type="text/csv")
    return {"data": lines, "next_before": page.next_before}
