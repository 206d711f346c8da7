"""``coat corpus``: build a SoundWorld corpus, and show what a corpus holds."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from coat_ray.corpus.builtin import BUILTIN, MANIFESTS, corpus_folder
from coat_ray.corpus.manifest import Manifest, ManifestError, read_manifest
from coat_ray.storage import Storage

app = typer.Typer(help="Corpora: build and inspect.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def build(
    out: Annotated[Path, typer.Argument(help="folder to make; it must not exist")],
    preset: Annotated[str, typer.Option(help="tiny, mini or full")] = "mini",
    seed: Annotated[int, typer.Option(help="the same seed gives the same corpus")] = 1,
    workers: Annotated[int, typer.Option(min=1, help="processes that render")] = 1,
    archive: Annotated[Path | None, typer.Option(help="also pack the corpus into this zip file")] = None,
) -> None:
    """Make a SoundWorld corpus: clips, manifests and a card (needs the extra coat-ray[world])."""
    from coat_ray.corpus.soundworld.build import build_corpus, pack  # noqa: PLC0415 - keeps `coat --help` light
    from coat_ray.corpus.soundworld.voices import SpeechUnavailableError  # noqa: PLC0415

    try:
        build_corpus(out, preset, seed, workers)
    except (ValueError, FileExistsError, SpeechUnavailableError) as error:
        _fail(error)
    if archive is not None:
        typer.echo(f"packed {archive} ({pack(out, archive):,} bytes)")
    _print(_summary(out))


@app.command()
def show(
    corpus: Annotated[str, typer.Argument(help="a built-in corpus or a folder")] = next(iter(BUILTIN)),
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Count clips, seconds and rows per split and task."""
    try:
        summary = _summary(corpus_folder(corpus, Storage.default()))
    except ManifestError as error:
        _fail(error)
    if as_json:
        typer.echo(json.dumps(summary, indent=2))
    else:
        _print(summary)


def _summary(folder: Path) -> dict[str, Any]:
    splits = {Path(name).stem: _count(read_manifest(folder / name)) for name in MANIFESTS}
    return {"folder": str(folder), "splits": splits}


def _count(manifest: Manifest) -> dict[str, Any]:
    lengths = {row.audios: row.seconds or 0.0 for row in manifest.rows if row.audios}
    return {
        "rows": len(manifest.rows),
        "clips": len({uri for audios in lengths for uri in audios}),
        "seconds": round(sum(lengths.values()), 1),
        "tasks": dict(sorted(Counter(row.task or "none" for row in manifest.rows).items())),
        "fingerprint": manifest.fingerprint,
    }


def _print(summary: dict[str, Any]) -> None:
    splits = summary["splits"]
    table = Table(title=summary["folder"], title_justify="left")
    table.add_column("")
    for split in splits:
        table.add_column(split, justify="right")
    for key in ("clips", "seconds", "rows"):
        table.add_row(key, *(f"{counts[key]:,}" for counts in splits.values()))
    table.add_section()
    for task in sorted({task for counts in splits.values() for task in counts["tasks"]}):
        table.add_row(task, *(str(counts["tasks"].get(task, 0)) for counts in splits.values()))
    Console().print(table)


def _fail(error: Exception) -> None:
    typer.echo(str(error), err=True)
    raise typer.Exit(1) from error
