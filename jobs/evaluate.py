"""Evaluate models on a held-out split: ``python jobs/evaluate.py --config CONFIG --model base --model coat``."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from coat_ray.config import RunConfig, load_config
from coat_ray.evaluation.answers import EvaluationError
from coat_ray.evaluation.models import SPLITS, evaluate_models
from coat_ray.evaluation.report import score_table, skill_table, write_report
from coat_ray.registry.models import ModelNotFound
from coat_ray.storage import Storage


def main() -> None:
    """Parse, evaluate, print and, where asked, write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the run: corpus, backbone, limits")
    parser.add_argument("--model", action="append", required=True, help="base, a name, or name@version; repeatable")
    parser.add_argument("--split", choices=SPLITS, default="test")
    parser.add_argument("--minus", metavar="MODEL", help="also show every other model's difference to this one")
    parser.add_argument("--report", type=Path, help="folder for report.md and report.json")
    parser.add_argument("overrides", nargs="*", help="key.sub=value")
    arguments = parser.parse_args()
    try:
        run(arguments)
    except (ValueError, OSError, EvaluationError, ModelNotFound) as error:  # each says what to do
        raise SystemExit(str(error)) from error


def run(arguments: argparse.Namespace) -> None:
    """Evaluate and show the tables."""
    config = load_config(arguments.config, RunConfig, arguments.overrides)
    if arguments.minus and arguments.minus not in arguments.model:
        raise EvaluationError(f"--minus {arguments.minus} is not among the models; add --model {arguments.minus}")
    evaluations = evaluate_models(arguments.model, config, Storage.default(), split=arguments.split)
    pairs = [(name, arguments.minus) for name in arguments.model if arguments.minus and name != arguments.minus]
    title = f"{config.corpus.name}, {arguments.split}: scores in % [95 % interval]"
    tables = {"scores": score_table(evaluations, pairs, title), "skills": skill_table(evaluations)}
    console = Console()
    for table in tables.values():
        console.print(table.to_rich())
    if arguments.report:
        markdown, data = write_report(arguments.report, tables)
        console.print(f"report: {markdown} and {data}")


if __name__ == "__main__":
    main()
