"""``coat usage``: what was used, by whom, for what, when."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from coat_ray.commands.output import AsJson, show_json, show_rows

AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV instead of a table.")]
AMOUNTS = (
    "accelerator_seconds",
    "cpu_seconds",
    "storage_bytes",
    "requests",
    "audio_seconds",
    "prompt_tokens",
    "completion_tokens",
)


class By(StrEnum):
    """What a report is broken down by."""

    TENANT = "tenant"
    RUN = "run"
    MONTH = "month"


def usage(
    *,
    by: Annotated[
        list[By] | None, typer.Option("--by", help="A line for each; repeatable. Default: all three.")
    ] = None,
    month: Annotated[str | None, typer.Option(metavar="YYYY-MM", help="Only this month, UTC.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant; for an owner.")] = None,
    as_csv: AsCsv = False,
    as_json: AsJson = False,
) -> None:
    """Show accelerator- and CPU-seconds, storage, requests, audio and tokens of your tenant; for an owner, of all."""
    from coat_ray.client import Client  # noqa: PLC0415 - `coat --help` must be instant

    columns = [column.value for column in By if column in (by or By)]
    client = Client.required()
    if as_csv:
        typer.echo(client.get("/usage", by=columns, month=month, tenant=tenant, format="csv"), nl=False)
        return
    rows = client.get("/usage", by=columns, month=month, tenant=tenant)["data"]
    if as_json:
        show_json(rows)
    else:
        show_rows(rows, (*columns, *AMOUNTS), as_json=False, empty="nothing used yet")
