"""Linear probes of models on SoundWorld: ``python jobs/probe.py --config CONFIG --model base --model coat``."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from coat_ray.config import RunConfig, load_config
from coat_ray.evaluation.asking.answers import EvaluationError
from coat_ray.evaluation.studies.probe_study import study_probes
from coat_ray.experts.drawing import DrawingError
from coat_ray.registry.models import ModelNotFound
from coat_ray.registry.runs import RunNotFound
from coat_ray.storage import Storage


def main() -> None:
    """Parse, probe, print and, where asked, write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the run: corpus and backbone")
    parser.add_argument("--model", action="append", required=True, help="base, a name, or name@version; repeatable")
    parser.add_argument("--curves", action="store_true", help="also at every step that the models' runs kept")
    parser.add_argument("--limit", type=int, help="the first so many clips of each target and split")
    parser.add_argument("--report", type=Path, help="folder for probes.md, probes.json and probes.png")
    parser.add_argument("overrides", nargs="*", help="key.sub=value")
    arguments = parser.parse_args()
    try:
        run(arguments)
    except (ValueError, OSError, EvaluationError, DrawingError, ModelNotFound, RunNotFound) as error:
        raise SystemExit(str(error)) from error  # each says what to do


def run(arguments: argparse.Namespace) -> None:
    """Probe and show the tables."""
    config = load_config(arguments.config, RunConfig, arguments.overrides)
    study = study_probes(arguments.model, config, Storage.default(), curves=arguments.curves, limit=arguments.limit)
    console = Console()
    for table in study.tables().values():
        console.print(table.to_rich())
    for path in study.write(arguments.report) if arguments.report else ():
        console.print(str(path))


if __name__ == "__main__":
    main()
