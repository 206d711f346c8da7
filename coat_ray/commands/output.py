"""How every verb shows what it has: a table for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Tenant = Annotated[str | None, typer.Option(help="Whose; only an owner may name another than its own.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(help="Changes to the file, such as optim.lr=1e-4", metavar="KEY.SUB=VALUE")
]


def place(path: str, tenant: str | None) -> str:
    """A path of the API, about the caller's own tenant, or the one that is named."""
    from coat_ray.client import part  # noqa: PLC0415 - `coat --help` must be instant

    return path if tenant is None else f"{path}?tenant={part(tenant)}"


def show_json(data: Any) -> None:
    """Print plain data as indented JSON."""
    typer.echo(json.dumps(data, indent=2, ensure_ascii=False))


def show_rows(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool, empty: str) -> None:
    """Print a listing; *empty* is the sentence for one without rows.

    A table shows *columns*, JSON shows everything. Lines are as wide as they need to be when nobody is watching.
    """
    found = list(rows)
    if as_json:
        show_json([dict(row) for row in found])
    elif not found:
        typer.echo(empty)
    else:
        _print_table(found, columns)


def _print_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    from rich.table import Table  # noqa: PLC0415 - `coat --help` must be instant

    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column.replace("_", " "), no_wrap=column in ("id", "model", "name"))
    for row in rows:
        table.add_row(*(_cell(row.get(column)) for column in columns))
    wide_console().print(table, markup=False)


def wide_console() -> Console:
    """A console whose lines are as wide as they need to be when nobody is watching."""
    from rich.console import Console  # noqa: PLC0415 - `coat --help` must be instant

    console = Console()
    if not console.is_terminal:
        console.width = 200
    return console


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
