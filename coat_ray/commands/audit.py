"""``coat audit``: who did what, and who was refused what."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coat_ray.commands.output import AsJson, show_json, show_rows
from coat_ray.commands.usage import AsCsv

if TYPE_CHECKING:
    from coat_ray.client import Client

PAGE = 1000
COLUMNS = ("id", "at", "actor_key", "actor_role", "tenant", "action", "target", "outcome", "reason")


class AuditOutcome(StrEnum):
    """How an action ended."""

    DONE = "done"
    DENIED = "denied"
    FAILED = "failed"


def audit(
    *,
    action: Annotated[
        str | None, typer.Option(help="Such as key.revoke, or with a dot at its end all of a kind.")
    ] = None,
    target: Annotated[str | None, typer.Option(help="What it was done to, such as run/ID.")] = None,
    outcome: Annotated[AuditOutcome | None, typer.Option(help="How it ended.")] = None,
    since: Annotated[datetime | None, typer.Option(help="At this instant or later, UTC.")] = None,
    until: Annotated[datetime | None, typer.Option(help="Before this instant, UTC.")] = None,
    tenant: Annotated[str | None, typer.Option(help="About this tenant; for an owner.")] = None,
    before: Annotated[int | None, typer.Option(metavar="ID", help="Older than this line: the next page.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="So many of the newest.")] = 100,
    as_csv: AsCsv = False,
    as_json: AsJson = False,
) -> None:
    """Show changes and denials, newest first: of your tenant for its admins, of all for an owner."""
    from coat_ray.client import Client  # noqa: PLC0415 - `coat --help` must be instant
    from coat_ray.tenancy.audit_export import to_csv  # noqa: PLC0415

    filters = {
        "action": action,
        "target": target,
        "outcome": outcome and outcome.value,
        "since": since and since.replace(tzinfo=UTC).isoformat(),
        "until": until and until.replace(tzinfo=UTC).isoformat(),
        "tenant": tenant,
    }
    lines = list(_lines(Client.required(), filters, before, limit))
    if as_csv:
        typer.echo(to_csv(lines), nl=False)
    elif as_json:
        show_json(lines)
    else:
        show_rows(lines, COLUMNS, as_json=False, empty="no such lines")
        if len(lines) == limit:
            typer.echo(f"older ones: --before {lines[-1]['id']}")


def _lines(client: Client, filters: dict[str, Any], before: int | None, limit: int) -> Iterator[dict[str, Any]]:
    """Lines, page by page, as far as they are wanted."""
    while limit > 0:
        page = client.get("/audit", **filters, before=before, limit=min(limit, PAGE))
        yield from page["data"]
        limit, before = limit - len(page["data"]), page["next_before"]
        if before is None:
            return
