"""``coat inside``: what a model's block rebuilds of a clip, beside what its teachers hear."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from coat_ray.commands.output import AsJson, show_json


def inside(
    clip: Annotated[Path, typer.Argument(metavar="CLIP", help="Audio in any common format.")],
    *,
    model: Annotated[str, typer.Option(help="A model trained with a block: a name or alias, name@version.")] = "coat",
    run: Annotated[str | None, typer.Option(help="Look into a run instead, as `coat runs list` names it.")] = None,
    step: Annotated[int | None, typer.Option(help="One of the run's kept steps; the newest if none.")] = None,
    question: Annotated[str, typer.Option(help="What is asked about the clip.")] = "describe what you hear",
    columns: Annotated[int, typer.Option(min=1, help="Most columns in time.")] = 750,
    out: Annotated[Path | None, typer.Option(help="PNG to write; by default CLIP's name in this folder.")] = None,
    as_json: AsJson = False,
) -> None:
    """Draw sound, speech, events, affect and pitch as the block rebuilds them beside the teachers, as one PNG."""
    from coat_ray.evaluation.studies.inside_study import model_source, step_source  # noqa: PLC0415 - `--help` must be instant
    from coat_ray.evaluation.studies.reconstructions import draw, look_inside  # noqa: PLC0415
    from coat_ray.storage import Storage  # noqa: PLC0415

    if step is not None and run is None:
        raise typer.BadParameter("a step is one of a run; add --run", param_hint="--step")
    storage = Storage.default()
    opened = step_source(run, step, storage) if run else nullcontext(model_source(model, storage))
    with opened as (base, source):
        seen = look_inside(base, source, clip, question=question, columns=columns)
    target = out or Path(f"{clip.stem}-inside.png")
    title = f"{seen.clip} as {source.key if run else model} thinks about it; it answers: {seen.answer}"
    roles = draw(seen.student, seen.teacher, target, title)
    if as_json:
        show_json(seen.to_json())
    else:
        typer.echo(f"{', '.join(roles)}\n{target}")
