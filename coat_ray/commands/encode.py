"""``coat encode``: the targets that a run's experts still lack."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coat_ray.commands.output import Overrides


def encode(
    config: Annotated[Path, typer.Argument(help="YAML of the run: corpus, experts, resources.", metavar="FILE")],
    overrides: Overrides = None,
) -> None:
    """Run the experts over the corpus and store what is missing."""
    from rich.console import Console  # noqa: PLC0415 - `coat --help` must be instant

    from coat_ray.cluster import connect  # noqa: PLC0415
    from coat_ray.config import RunConfig, load_config  # noqa: PLC0415
    from coat_ray.corpus.builtin import corpus_folder  # noqa: PLC0415
    from coat_ray.storage import Storage  # noqa: PLC0415
    from coat_ray.targets.corpus import encode_run  # noqa: PLC0415
    from coat_ray.targets.report import LineProgress  # noqa: PLC0415
    from coat_ray.targets.store import TargetStore  # noqa: PLC0415

    console, storage = Console(), Storage.default()
    run = load_config(config, RunConfig, overrides)
    corpus = corpus_folder(run.corpus.name, storage)
    with connect():
        report = encode_run(run, corpus, TargetStore(storage.targets), LineProgress(console))
    report.print(console)
    console.print(f"targets: {storage.targets}")
