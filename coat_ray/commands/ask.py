"""``coat ask``: one question about one's own audio."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coat_ray.commands.output import AsJson, show_json

if TYPE_CHECKING:
    from coat_ray.model.asking import Reply


def ask(
    clip: Annotated[Path, typer.Argument(help="Audio in any common format.", metavar="CLIP")],
    question: Annotated[str, typer.Argument(help="What you want to know.", metavar="QUESTION")],
    *,
    model: Annotated[str, typer.Option(help="base, a name or alias, name@version, or owner/name.")] = "coat",
    no_block: Annotated[bool, typer.Option("--no-block", help="Answer without the thinking block.")] = False,
    show_thinking: Annotated[
        bool, typer.Option("--show-thinking", help="Also say what the experts' heads read in the block.")
    ] = False,
    timings: Annotated[bool, typer.Option("--timings", help="Also say how long each part took.")] = False,
    as_json: AsJson = False,
) -> None:
    """Ask a model about an audio file."""
    from coat_ray.config import BackboneConfig  # noqa: PLC0415 - `coat --help` must be instant
    from coat_ray.model.asking import ask as ask_model  # noqa: PLC0415
    from coat_ray.model.opening import open_model  # noqa: PLC0415
    from coat_ray.registry.models import ModelRegistry  # noqa: PLC0415
    from coat_ray.storage import Storage  # noqa: PLC0415

    opened = open_model(model, BackboneConfig(), ModelRegistry(Storage.default()))
    reply = ask_model(opened, question, clip, block=not no_block, thinking=show_thinking)
    if as_json:
        show_json(reply.to_json())
    else:
        _print(reply, timings=timings)


def _print(reply: Reply, *, timings: bool) -> None:
    from coat_ray.model.reading import describe  # noqa: PLC0415 - `coat --help` must be instant

    typer.echo(reply.text)
    for what, words in describe(reply.thinking):
        typer.echo(f"  {what}: {words}")
    if timings:
        spent = reply.timings
        typer.echo(
            f"  encode {spent.encode:.3f} s, prefill {spent.prefill:.3f} s, first token {spent.ttft:.3f} s, "
            f"decode {spent.decode:.3f} s, total {spent.total:.3f} s, {spent.tokens} tokens"
        )
    for note in reply.notes:
        typer.echo(f"note: {note}", err=True)
