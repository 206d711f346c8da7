"""``coat ask``: one question about one's own audio, to a hosted model or to one on this machine."""

from __future__ import annotations

import base64
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coat_ray.commands.output import AsJson, show_json

if TYPE_CHECKING:
    from coat_ray.client import Client
    from coat_ray.model.asking import Reply

BASE = "base"
MAX_TOKENS = 64
NO_BLOCK = "note: there is no block to look into: it needs a model trained with one, a clip, and no --no-block"


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
    local: Annotated[
        bool, typer.Option("--local", help="A model on this machine, whatever platform there is.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Ask a model about an audio file: one that the configured platform hosts, else one on this machine."""
    from coat_ray.client import Client  # noqa: PLC0415 - `coat --help` must be instant

    client = None if local else Client.configured()
    if client is None:
        _ask_here(clip, question, model, no_block=no_block, thinking=show_thinking, timings=timings, as_json=as_json)
        return
    mode = "plain" if no_block else "block"
    body = {
        "model": _hosted_name(client, model),
        "messages": [{"role": "user", "content": [_sent(clip), {"type": "text", "text": question}]}],
        "max_tokens": MAX_TOKENS,
        "coat": {"mode": mode, "timings": True, "thinking": show_thinking},
    }
    answer = client.chat(body)
    if as_json:
        show_json(answer)
    else:
        _print_hosted(answer, timings=timings, thinking=show_thinking)


def _hosted_name(client: Client, model: str) -> str:
    """What the platform calls a model in its OpenAI API."""
    return BASE if model == BASE else f"{BASE}:{client.get(f'/models/{model}')['model']}"


def _sent(clip: Path) -> dict[str, Any]:
    if not clip.is_file():
        raise ValueError(f"no audio file at {clip}")
    data = base64.b64encode(clip.read_bytes()).decode()
    return {"type": "audio_url", "audio_url": {"url": f"data:application/octet-stream;base64,{data}"}}


def _print_hosted(answer: dict[str, Any], *, timings: bool, thinking: bool) -> None:
    said = answer["coat"]
    typer.echo(answer["choices"][0]["message"]["content"])
    for role, view in sorted(said.get("thinking", {}).items()):
        typer.echo(f"  {role} ({view['expert']}): {view['summary']}")
    if timings:
        _print_timings(said["timings"])
    for heard in said.get("clips", ()):
        typer.echo(f"note: only the first {heard['heard_seconds']:g} s of the clip were heard", err=True)
    if thinking and not said.get("thinking"):
        typer.echo(NO_BLOCK, err=True)


def _print_timings(spent: dict[str, Any]) -> None:
    encode = spent.get("encode", 0.0)  # an engine may count it with the prefill
    typer.echo(
        f"  encode {encode:.3f} s, prefill {spent['prefill']:.3f} s, first token {spent['ttft']:.3f} s, "
        f"decode {spent['decode']:.3f} s, total {spent['total']:.3f} s, {spent['tokens']} tokens"
    )


def _ask_here(
    clip: Path, question: str, model: str, *, no_block: bool, thinking: bool, timings: bool, as_json: bool
) -> None:
    from coat_ray.config import BackboneConfig  # noqa: PLC0415 - `coat --help` must be instant
    from coat_ray.model.asking import ask as ask_model  # noqa: PLC0415
    from coat_ray.model.opening import open_model  # noqa: PLC0415
    from coat_ray.registry.models import ModelRegistry  # noqa: PLC0415
    from coat_ray.storage import Storage  # noqa: PLC0415

    opened = open_model(model, BackboneConfig(), ModelRegistry(Storage.default()))
    reply = ask_model(opened, question, clip, block=not no_block, thinking=thinking, max_new_tokens=MAX_TOKENS)
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
        _print_timings(asdict(reply.timings))
    for note in reply.notes:
        typer.echo(f"note: {note}", err=True)
