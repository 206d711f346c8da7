"""``coat corpora``: corpora of your tenant on the platform."""

from __future__ import annotations

import tarfile
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from coat_ray.commands.output import AsJson, Tenant, place, show_json, show_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.progress import Progress

    from coat_ray.client import Client

app = typer.Typer(no_args_is_help=True, help="Corpora on the platform: upload, list, show, remove.")

COLUMNS = ("name", "rows", "audio_seconds", "storage_bytes", "licences", "created_at", "shared")
TAR = "application/x-tar"

Name = Annotated[str, typer.Argument(metavar="NAME", help="As `coat corpora list` shows it.")]


@app.command()
def upload(
    name: Annotated[str, typer.Argument(help="What runs will call it: corpus.name=NAME")],
    folder: Annotated[
        Path, typer.Argument(exists=True, file_okay=False, help="With train.jsonl, validation.jsonl, test.jsonl.")
    ],
    *,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Send a folder as a corpus; the clips must lie in it. Sent again, it is the same corpus.

    It is checked here first. The archive is written to a temporary file before it is sent, so that the platform knows
    its size and can say at once whether your quota holds it.
    """
    from coat_ray.client import Client, part  # noqa: PLC0415 - `coat --help` must be instant
    from coat_ray.corpus.contained import files_of, inspect_folder  # noqa: PLC0415

    client = Client.required()
    inspect_folder(folder)
    sizes = files_of(folder)
    with tempfile.TemporaryFile() as archive, _progress() as progress:
        _pack(folder, sizes, archive, progress)
        size = archive.seek(0, 2)
        archive.seek(0)
        with progress.wrap_file(archive, size, description="sending") as reader:
            made = client.put(place(f"/corpora/{part(name)}", tenant), reader, content_type=TAR)
    if as_json:
        show_json(made)
    else:
        typer.echo(f"corpus {made['name']}: {made['rows']:,} rows, {made['storage_bytes']:,} bytes, {_terms(made)}")
        typer.echo(f"use it with corpus.name={made['name']}")


@app.command("list")
def list_corpora(*, tenant: Tenant = None, as_json: AsJson = False) -> None:
    """List the corpora of your tenant and those that others share with it (an owner: of all)."""
    from coat_ray.client import Client  # noqa: PLC0415 - `coat --help` must be instant

    client = Client.required()
    rows = [{**row, "shared": False} for row in client.get("/corpora", tenant=tenant)["data"]]
    rows += _shared(client, tenant)
    if not as_json:
        rows = [{**row, "licences": ", ".join(row.get("licences", ())) or None} for row in rows]
    show_rows(rows, COLUMNS, as_json=as_json, empty="no corpora yet; `coat corpora upload NAME FOLDER` sends one")


@app.command()
def show(name: Name, *, tenant: Tenant = None) -> None:
    """Print what a corpus holds, and under which licences, as JSON."""
    from coat_ray.client import Client, part  # noqa: PLC0415 - `coat --help` must be instant

    show_json(Client.required().get(f"/corpora/{part(name)}", tenant=tenant))


@app.command()
def remove(name: Name, *, tenant: Tenant = None) -> None:
    """Remove a corpus with its files; takes an admin of the tenant, and no run that still needs it."""
    from coat_ray.client import Client, part  # noqa: PLC0415 - `coat --help` must be instant

    gone = Client.required().delete(place(f"/corpora/{part(name)}", tenant))
    typer.echo(f"corpus {gone['name']} removed: {gone['storage_bytes']:,} bytes are free again")


def _shared(client: Client, tenant: str | None) -> list[dict[str, Any]]:
    """Corpora that others share with a tenant, as a run of it names them; only their owners see what they hold."""
    whose = tenant or client.get("/me")["tenant"]
    return [
        {"name": f"{share['owner']}/{share['name']}", "tenant": share["owner"], "shared": True}
        for share in client.get("/shares", tenant=tenant)["data"]
        if share["kind"] == "corpus" and share["with"] == whose
    ]


def _pack(folder: Path, sizes: Mapping[str, int], archive: IO[bytes], progress: Progress) -> None:
    task = progress.add_task("packing", total=sum(sizes.values()))
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, size in sizes.items():
            tar.add(folder / name, arcname=name, recursive=False, filter=_nobodys)
            progress.advance(task, size)


def _nobodys(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without the name of whoever packs it."""
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    return info


def _progress() -> Progress:
    from rich.console import Console  # noqa: PLC0415 - `coat --help` must be instant
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn  # noqa: PLC0415

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal)


def _terms(made: Mapping[str, Any]) -> str:
    return f"licences: {', '.join(made['licences'])}"
