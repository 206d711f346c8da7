"""``coat``: the command line. Each group of verbs lives in ``coat_ray/commands/``; a new one is a line here."""

from __future__ import annotations

import functools
import importlib
import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from coat_ray import __version__
from coat_ray.commands import (
    ask,
    audit,
    benchmarks,
    config,
    corpora,
    encode,
    evaluate,
    experts,
    inside,
    keys,
    latency,
    login,
    models,
    platform,
    probe,
    runs,
    sharing,
    sweep,
    targets,
    tenants,
    train,
    usage,
)


def _on_demand(module: str) -> type[TyperGroup]:
    """A group of verbs whose *module* (with a typer ``app``) is imported when one of them is asked for."""

    @functools.cache
    def loaded() -> Any:
        return typer.main.get_command(importlib.import_module(module).app)

    class Group(TyperGroup):
        def list_commands(self, ctx: Any) -> list[str]:
            return loaded().list_commands(ctx)

        def get_command(self, ctx: Any, cmd_name: str) -> Any:
            return loaded().get_command(ctx, cmd_name)

    return Group


app = typer.Typer(
    name="coat",
    help="Continuous Audio Thinking: targets, training, evaluation, and asking about your own audio.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(config.app, name="config")
app.add_typer(
    typer.Typer(cls=_on_demand("coat_ray.corpus.commands"), no_args_is_help=True),
    name="corpus",
    help="Build corpora and look into them.",
)
app.add_typer(experts.app, name="experts")
app.add_typer(targets.app, name="targets")
app.command()(ask.ask)
app.command()(encode.encode)
app.command()(train.train)
app.command()(sweep.sweep)
app.command()(evaluate.evaluate)
app.command()(benchmarks.benchmarks)
app.command()(latency.latency)
app.command()(probe.probe)
app.command()(inside.inside)
app.command()(platform.up)
app.command()(platform.down)
app.command()(login.login)
app.command()(login.logout)
app.command()(login.whoami)
app.add_typer(runs.app, name="runs")
app.add_typer(models.app, name="models")
app.add_typer(corpora.app, name="corpora")
app.add_typer(sharing.app, name="shares")
app.add_typer(tenants.app, name="tenants")
app.add_typer(keys.app, name="keys")
app.command()(usage.usage)
app.command()(audit.audit)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"coat_ray {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; what a user can mend is one sentence and exit code 1, usage errors give 2.

    A traceback is for our own mistakes, or for everything with ``COAT_TRACEBACK=1``.
    """
    try:
        app()
    except KeyboardInterrupt:
        typer.echo("coat: interrupted", err=True)
        sys.exit(130)
    except Exception as error:
        if not _is_for_the_user(error) or os.environ.get("COAT_TRACEBACK"):
            raise
        typer.echo(f"coat: {error}", err=True)
        sys.exit(1)


def _is_for_the_user(error: Exception) -> bool:
    """Errors defined in this package, bad values and the operating system's: their messages say what to do."""
    return isinstance(error, (ValueError, OSError)) or type(error).__module__.partition(".")[0] == "coat_ray"


if __name__ == "__main__":
    main()
