"""``coat config``: what a configuration file means once defaults and overrides are in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coat_ray.commands.output import AsJson, Overrides, show_json

app = typer.Typer(no_args_is_help=True, help="Look at configuration files.")


@app.command()
def show(
    path: Annotated[Path, typer.Argument(help="A YAML file of a run.", metavar="FILE")],
    overrides: Overrides = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Validate a run's configuration and print it whole, defaults included."""
    import yaml  # noqa: PLC0415 - `coat --help` must be instant

    from coat_ray.config import RunConfig, load_config  # noqa: PLC0415

    data = load_config(path, RunConfig, overrides).model_dump(mode="json")
    if as_json:
        show_json(data)
    else:
        typer.echo(yaml.safe_dump(data, sort_keys=False, default_flow_style=None, width=120), nl=False)
