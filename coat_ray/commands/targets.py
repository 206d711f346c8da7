"""``coat targets``: what the store holds, whether it is whole, and what may go."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coat_ray.commands.output import AsJson, show_json, show_rows

if TYPE_CHECKING:
    from coat_ray.targets.store import TargetStore

app = typer.Typer(no_args_is_help=True, help="Stored targets.")

COLUMNS = ("name", "alignment", "rate", "dtype", "error", "clips", "parts", "megabytes", "quarantined")
NOTHING_STORED = "no targets here yet; `coat encode CONFIG` makes them"


@app.command("list")
def list_targets(*, as_json: AsJson = False) -> None:
    """List every dataset: expert, precision and its relative error, clips, bytes, refused clips."""
    from coat_ray.targets.summary import summarise  # noqa: PLC0415 - `coat --help` must be instant

    found = [asdict(summarise(dataset)) for dataset in _store().datasets()]
    rows = [{**row, "megabytes": round(row["bytes"] / 1e6, 2)} for row in found]
    show_rows(rows, COLUMNS, as_json=as_json, empty=NOTHING_STORED)


@app.command()
def verify(*, as_json: AsJson = False) -> None:
    """Read every stored frame; exit code 1 and the names of the files when something is damaged."""
    from coat_ray.targets.verify import verify as verify_store  # noqa: PLC0415 - `coat --help` must be instant

    found = verify_store(_store())
    rows: list[dict[str, Any]] = [
        {
            "name": one.name,
            "parts": one.parts,
            "clips": one.clips,
            "repeated": one.repeated,
            "damaged": len(one.damage),
            "damage": [{"path": str(bad.path), "problem": bad.problem} for bad in one.damage],
        }
        for one in found
    ]
    columns = ("name", "parts", "clips", "repeated", "damaged")
    show_rows(rows, columns, as_json=as_json, empty=NOTHING_STORED)
    damage = [bad for one in found for bad in one.damage]
    for bad in damage:
        typer.echo(f"{bad.path}: {bad.problem}", err=True)
    if damage:
        typer.echo("`coat targets gc --yes` removes unreadable files; `coat encode` makes them again", err=True)
        raise typer.Exit(1)


@app.command()
def gc(
    configs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[CONFIG…]", help="Datasets that none of these runs uses are garbage; none: keep all."),
    ] = None,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Remove it; without, only say what would go.")] = False,
    min_age: Annotated[float, typer.Option(min=0, help="Hours without change before something counts.")] = 1.0,
    as_json: AsJson = False,
) -> None:
    """Find temporary left-overs, unreadable files and unused datasets, and remove them with --yes."""
    from coat_ray.config import RunConfig, load_config  # noqa: PLC0415 - `coat --help` must be instant
    from coat_ray.targets.corpus import target_fingerprints  # noqa: PLC0415
    from coat_ray.targets.garbage import find_garbage, remove  # noqa: PLC0415

    keep = {one for path in configs for one in target_fingerprints(load_config(path, RunConfig))} if configs else None
    seconds = 3600 * min_age
    found = find_garbage(_store(), keep, seconds)
    if yes:
        found = remove(found, seconds)
    rows = [{"path": str(item.path), "kind": item.kind, "bytes": item.bytes} for item in found]
    if as_json:
        show_json({"removed": yes, "garbage": rows})
        return
    show_rows(rows, ("path", "kind", "bytes"), as_json=False, empty="nothing to remove")
    if rows:
        total = sum(item.bytes for item in found) / 1e6
        typer.echo(f"{'removed' if yes else 'would remove'} {total:.1f} MB{'' if yes else '; --yes does it'}")


def _store() -> TargetStore:
    from coat_ray.storage import Storage  # noqa: PLC0415 - `coat --help` must be instant
    from coat_ray.targets.store import TargetStore  # noqa: PLC0415

    return TargetStore(Storage.default().targets)
