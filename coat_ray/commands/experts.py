"""``coat experts``: the frozen teachers, their terms, their weights, and what they hear."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coat_ray.commands.output import AsJson, show_json, show_rows

if TYPE_CHECKING:
    from coat_ray.experts.base import Expert
    from coat_ray.experts.download import Progress

app = typer.Typer(no_args_is_help=True, help="The frozen teachers.")

COLUMNS = ("name", "sample_rate", "rate", "width", "loss", "licence", "commercial_use", "size", "cached", "embedded")
CHECKED = ("name", "frames", "width", "rate", "first_center", "finite", "seconds", "cost", "clip")
DRAWN = "spidr,panns,emotion2vec,basic_pitch"

Name = Annotated[str, typer.Argument(metavar="NAME", help="As `coat experts list` shows it.")]
Weights = Annotated[str, typer.Option(help='"embedded", "official", or the path of a checkpoint.')]
Layer = Annotated[int | None, typer.Option(help="Layer to tap, where the expert has several.")]


@app.command("list")
def list_experts(*, as_json: AsJson = False) -> None:
    """List every expert at its official size, and whether its weights are here. Nothing is loaded or downloaded.

    Sample rate in Hz, rate in frames per second, size in bytes. `embedded`: small weights of it ship with the package.
    """
    from coat_ray.experts.catalogue import catalogue  # noqa: PLC0415 - `coat --help` must be instant

    show_rows([entry.to_json() for entry in catalogue()], COLUMNS, as_json=as_json, empty="no experts")


@app.command()
def pull(
    name: Name,
    *,
    folder: Annotated[Path | None, typer.Option("--from", help="Copy from this folder instead.")] = None,
) -> None:
    """Bring an expert's official weights into the cache; an interrupted download goes on where it stopped."""
    from coat_ray.experts.catalogue import entry  # noqa: PLC0415 - `coat --help` must be instant
    from coat_ray.experts.download import copy_from, fetch  # noqa: PLC0415
    from coat_ray.experts.weights import WeightsError, cache_folder, verify  # noqa: PLC0415

    expert = entry(name)
    official = expert.official
    if official is None:
        raise WeightsError(f"{name}: nothing to pull; {expert.obtain}")
    terms = (
        "" if expert.spec.commercial_use else "; it does not grant commercial use, nor may what is distilled from it"
    )
    typer.echo(f"{name}: {official.url}\nlicence: {official.licence}{terms}")
    target = cache_folder() / official.file
    if expert.path is not None:
        try:
            sha256 = verify(target, official)
        except WeightsError as error:
            typer.echo(f"{str(error).partition(';')[0]}; fetching it again")
        else:
            typer.echo(f"already here: {target}\nsha256 {sha256}")
            return
    with _bar(official.file) as progress:
        sha256 = copy_from(folder, official, target, progress) if folder else fetch(official, target, progress)
    known = "as published" if official.sha256 else "the publisher states none; note it to compare later"
    typer.echo(f"{target}\nsha256 {sha256} ({known})")


@app.command()
def check(
    name: Name,
    clip: Annotated[Path | None, typer.Argument(metavar="CLIP", help="An audio file; a built-in one if none.")] = None,
    *,
    weights: Weights = "embedded",
    layer: Layer = None,
    as_json: AsJson = False,
) -> None:
    """Run an expert on a clip: frames, width, rate, first centre, finite or not, seconds of computing per second."""
    from coat_ray.experts.check import check as run_check  # noqa: PLC0415 - `coat --help` must be instant
    from coat_ray.experts.check import load_clip  # noqa: PLC0415

    expert = _load(name, weights, layer)
    shown, wave = load_clip(clip, expert.spec.sample_rate)
    row = run_check(expert, wave, shown).to_json()
    if as_json:
        show_json(row)
    else:
        show_rows([row], CHECKED, as_json=False, empty="")


@app.command()
def show(
    clip: Annotated[Path, typer.Argument(metavar="CLIP", help="An audio file.")],
    *,
    experts: Annotated[str, typer.Option(help="Names with commas between.")] = DRAWN,
    weights: Weights = "embedded",
    out: Annotated[Path | None, typer.Option(help="PNG to write; by default CLIP's name in this folder.")] = None,
) -> None:
    """Draw what the experts hear in a clip, over time, as one PNG."""
    from coat_ray.experts.drawing import draw  # noqa: PLC0415 - `coat --help` must be instant

    loaded = [_load(name.strip(), weights, None) for name in experts.split(",") if name.strip()]
    target = out or Path(f"{clip.stem}-experts.png")
    for panel in draw(clip, loaded, target):
        typer.echo(panel.title)
    typer.echo(str(target))


@contextmanager
def _bar(file: str) -> Iterator[Progress]:
    """A progress bar on standard error, as the function that a download reports to."""
    from rich import progress as bars  # noqa: PLC0415 - `coat --help` must be instant
    from rich.console import Console  # noqa: PLC0415

    columns = (bars.TextColumn("{task.description}"), bars.BarColumn(), bars.DownloadColumn())
    speed = (bars.TransferSpeedColumn(), bars.TimeRemainingColumn())
    console = Console(stderr=True)
    with bars.Progress(*columns, *speed, console=console, transient=True, disable=not console.is_terminal) as shown:
        task = shown.add_task(file, total=None)
        yield lambda done, total: shown.update(task, completed=done, total=total)


def _load(name: str, weights: str, layer: int | None) -> Expert:
    from coat_ray.config import ExpertConfig  # noqa: PLC0415 - `coat --help` must be instant
    from coat_ray.experts.registry import load_expert  # noqa: PLC0415

    return load_expert(ExpertConfig(model=name, weights=weights, layer=layer))
