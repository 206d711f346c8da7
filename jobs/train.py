"""Targets, training and evaluation of every arm of a run: ``python jobs/train.py --config CONFIG [key.sub=value …]``.

Everything that is done is kept: run it again and it goes on where it was.
"""

from __future__ import annotations

import argparse
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from coat_ray.cluster import as_one_worker, connect
from coat_ray.config import RunConfig, load_config
from coat_ray.corpus.builtin import corpus_folder
from coat_ray.corpus.manifest import read_manifest
from coat_ray.entry import as_job
from coat_ray.leasing.keeper import GaveWay, Held, giving_way
from coat_ray.leasing.turns import in_turn
from coat_ray.storage import Storage
from coat_ray.training.errors import TrainingStoppedError, TrainingYieldedError
from coat_ray.training.tracking import check_tracking

if TYPE_CHECKING:
    from coat_ray.training.run import RunResult


def main() -> None:
    """Parse and run; errors that a person can act on end in one sentence and exit code 2."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the run")
    parser.add_argument("overrides", nargs="*", help="key.sub=value")
    arguments = parser.parse_args()
    with as_job() as console:
        config = load_config(arguments.config, RunConfig, arguments.overrides)
        run_in_turn(config, Storage.default(), console)


def run_in_turn(config: RunConfig, storage: Storage, console: Console) -> list[RunResult]:
    """Run with a lease of the platform, where there is one; a run that gave way waits here for its next turn.

    Raises:
        GaveWay: it gave way, and the platform, which started this job, will start it again.
    """

    def work(held: Held) -> list[RunResult]:
        results = run(config, storage, console, held.give_way)
        held.result["models"] = [result.model for result in results]
        return results

    return in_turn(config, lambda line: console.print(line, markup=False), work)


def run(
    config: RunConfig, storage: Storage, console: Console, give_way: threading.Event | None = None
) -> list[RunResult]:
    """Prepare the corpus, make what targets are missing, train each arm, compare, say where things lie.

    Raises:
        GaveWay: *give_way* was set; what is done is kept.
    """
    check_tracking(config.tracking)
    corpus = corpus_folder(config.corpus.name, storage)
    give_way = give_way or threading.Event()
    with connect():
        results = _train(config, corpus, storage, console, give_way)
    if config.evaluation.compare:
        with giving_way(give_way):
            _compare(config, storage, results, console)
    for result in results:
        console.print(f"run {result.folder}: coat ask YOUR.wav 'which note comes first?' --model {result.model}")
    return results


def _train(
    config: RunConfig, corpus: Path, storage: Storage, console: Console, give_way: threading.Event
) -> list[RunResult]:
    # Ray reads its environment when it is imported, and connect() sets it: nothing above may import Ray.
    from coat_ray.targets.corpus import encode_run, rows_to_skip, streamed_targets  # noqa: PLC0415
    from coat_ray.targets.pipeline import EncodeError  # noqa: PLC0415
    from coat_ray.targets.report import LineProgress  # noqa: PLC0415
    from coat_ray.targets.store import TargetStore  # noqa: PLC0415
    from coat_ray.training.run import TRAIN_SPLIT, train_arm  # noqa: PLC0415

    try:
        with giving_way(give_way):
            report = encode_run(config, corpus, TargetStore(storage.targets), LineProgress(console))
    except EncodeError as error:
        raise TrainingStoppedError(str(error)) from error
    report.print(console)
    skip = rows_to_skip(read_manifest(corpus / TRAIN_SPLIT), report)
    try:
        return [
            train_arm(
                config,
                arm,
                corpus=corpus,
                storage=storage,
                datasets=report.fingerprints,
                skip_rows=skip,
                open_targets=streamed_targets if config.resources.stream_targets else None,
                give_way=give_way,
                show=lambda line: console.print(line, markup=False),
            )
            for arm in config.arms
        ]
    except TrainingYieldedError as error:
        raise GaveWay(str(error)) from error


def _compare(config: RunConfig, storage: Storage, results: list[RunResult], console: Console) -> None:
    """Compare base and arms on held-out questions; show and keep the tables."""
    from coat_ray.evaluation.comparison import compare_arms  # noqa: PLC0415 - heavy, and not needed to refuse a config
    from coat_ray.evaluation.reports.report import write_report  # noqa: PLC0415

    models: dict[str, str] = dict(zip(config.arms, (r.model for r in results), strict=True))
    tables = as_one_worker(config.resources, partial(compare_arms, config, models, storage))
    for table in tables.values():
        console.print(table.to_rich())
    markdown, _ = write_report(results[-1].folder, tables)
    console.print(f"report: {markdown}")


if __name__ == "__main__":
    main()
