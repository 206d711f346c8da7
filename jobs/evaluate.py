"""Evaluate models on a held-out split: ``python jobs/evaluate.py --config CONFIG --model base --model coat``.

With ``--benchmark mmau --data FOLDER`` on published benchmarks; ``coat evaluate`` takes more.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from coat_ray.evaluation.asking.answers import EvaluationError
from coat_ray.evaluation.models import SPLITS
from coat_ray.evaluation.request import EvaluationRequest, evaluate_request
from coat_ray.registry.models import ModelNotFound


def main() -> None:
    """Parse, evaluate, print and, where asked, write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the run: corpus, backbone, limits")
    parser.add_argument("--model", action="append", required=True, help="base, a name, or name@version; repeatable")
    parser.add_argument("--benchmark", action="append", help="soundworld (default), mmau, …; repeatable")
    parser.add_argument("--data", type=Path, help="folder of the benchmarks' data")
    parser.add_argument("--split", choices=SPLITS, default="test")
    parser.add_argument("--minus", metavar="MODEL", help="also show every other model's difference to this one")
    parser.add_argument("--actors", type=int, default=0, help="copies of each model, through Ray Data")
    parser.add_argument("--judge", action="append", default=[], metavar="MODEL@ADDRESS", help="twice for agreement")
    parser.add_argument("--report", type=Path, help="folder for report.html, report.md, report.json and the samples")
    parser.add_argument("overrides", nargs="*", help="key.sub=value")
    arguments = parser.parse_args()
    request = EvaluationRequest(
        config=arguments.config,
        models=arguments.model,
        overrides=arguments.overrides,
        benchmarks=arguments.benchmark or ["soundworld"],
        data=arguments.data,
        split=arguments.split,
        minus=arguments.minus,
        actors=arguments.actors,
        judges=arguments.judge,
        report=arguments.report,
    )
    try:
        evaluate_request(request)
    except (ValueError, OSError, EvaluationError, ModelNotFound) as error:  # each says what to do
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
