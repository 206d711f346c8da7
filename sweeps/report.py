"""The report of a sweep: a page, its pictures, tables as Markdown, all trials as CSV, and the best run's configuration.

``python -m sweeps.report FOLDER`` makes it again from ``sweep.json`` and ``trials.jsonl``.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from rich.console import Console

from coat_ray.config import RunConfig
from coat_ray.evaluation.reports import figures
from coat_ray.evaluation.reports.page import to_html, to_markdown
from coat_ray.storage import atomic_write
from sweeps import drawing, tables
from sweeps.estimates import points_of, ranking
from sweeps.findings import BEST, Findings, best_says, chosen, facts_of, find, sections
from sweeps.record import TRIALS, Objective, SweepRecord, read_record
from sweeps.results import TrialResult, read_results

PAGE, MARKDOWN, CSV = "report.html", "report.md", "trials.csv"
PICTURES = ("scores", "curves", "parallel", "importance", "cost")


def write_report(folder: Path, record: SweepRecord, results: Sequence[TrialResult]) -> Path:
    """Write ``report.html``, its PNGs, ``report.md``, ``trials.csv`` and ``best.yaml``; give the page's path.

    Args:
        folder: where they go; it is made.
        record: the sweep, whose run configuration must be there for ``best.yaml``.
        results: every trial.

    Raises:
        ValueError: there are no trials, or a point whose trials do not belong together.
        ConfigError: the run does not take the best point's parameters.
    """
    if not results:
        raise ValueError(f"sweep {record.sweep.name} has no trials, so there is nothing to report")
    found = find(results, Objective.of(record.sweep.objective), record.variants)
    best = _own(record, record.config_of(chosen(found.best))) if found.best else None
    folder.mkdir(parents=True, exist_ok=True)
    pictures = _write_pictures(folder, found)
    title, facts, parts = f"Sweep {record.sweep.name}", facts_of(found, record), sections(found, pictures)
    atomic_write(folder / CSV, to_csv(results))
    atomic_write(folder / MARKDOWN, to_markdown(title, facts, parts))
    _write_best(folder / BEST, best, said=best_says(found)[0])
    atomic_write(folder / PAGE, to_html(title, facts, parts))
    return folder / PAGE


def to_csv(results: Sequence[TrialResult]) -> str:
    """A line per trial; parameters and task groups have columns of their own."""
    params = sorted({key for trial in results for key in trial.params})
    groups = list(dict.fromkeys(key for trial in results for key in trial.scores))
    plain = ("trial", "point", "variant", "seed", "state", "score", "steps", "step_seconds", "seconds", "cpus", "gpus")
    hours = ("core_hours", "gpu_hours", "model", "reason")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*plain, *hours, *(f"params.{key}" for key in params), *(f"scores.{key}" for key in groups)])
    for trial in results:
        values = [_csv_value(trial.params.get(key)) for key in params]
        cells = [getattr(trial, name) for name in (*plain, *hours)]
        writer.writerow([*cells, *values, *(trial.scores.get(key) for key in groups)])
    return text.getvalue()


def main() -> None:
    """Make the report of a folder again; what is wrong with it ends in one sentence and exit code 2."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the sweep's folder, with sweep.json and trials.jsonl")
    folder = parser.parse_args().folder
    console = Console(soft_wrap=True, highlight=False)
    try:
        page = remake(folder, console)
    except (ValueError, OSError) as error:
        Console(stderr=True, soft_wrap=True, highlight=False).print(str(error), markup=False)
        raise SystemExit(2) from error
    console.print(f"report: {page}", markup=False)


def remake(folder: Path, console: Console) -> Path:
    """The report of a sweep's folder from what lies there, and its best points in the terminal.

    Raises:
        ValueError: no sweep lies there, or a file of it is damaged.
    """
    record = read_record(folder)
    if not (folder / TRIALS).is_file():
        raise ValueError(f"no trials in {folder}: it has no {TRIALS}; start the sweep again, and it goes on")
    results = read_results(folder / TRIALS)
    page = write_report(folder, record, results)
    points = points_of(results, record.variants)
    console.print(tables.terminal_table(points, Objective.of(record.sweep.objective)))
    return page


def _csv_value(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict | list | tuple) else value


def _write_pictures(folder: Path, found: Findings) -> dict[str, drawing.Picture]:
    """Draw what can be drawn; pictures of an earlier report go."""
    for name in PICTURES:
        (folder / f"{name}.png").unlink(missing_ok=True)
    if not figures.can_draw():
        return {}
    drawn = [point for point in found.points if point.variant is None]
    objective = found.objective
    pictures = [
        drawing.draw_scores(found.ladder or ranking(found.points, objective), objective),
        drawing.draw_curves(found.results, objective),
        drawing.draw_parallel(drawn, objective),
        drawing.draw_importance(found.importances),
        drawing.draw_cost(found.points, objective),
    ]
    kept = {picture.name: picture for picture in pictures if picture}
    for name, picture in kept.items():
        atomic_write(folder / f"{name}.png", picture.png)
    return kept


def _own(record: SweepRecord, config: RunConfig) -> RunConfig:
    """The best configuration under a name of its own: under its trial's, a training would find that trial's and end."""
    return config.model_copy(update={"name": f"{record.sweep.name}-best"})


def _write_best(path: Path, config: RunConfig | None, said: str) -> None:
    """Write ``best.yaml`` with a comment, or remove an earlier one where nothing is the best."""
    if config is None:
        path.unlink(missing_ok=True)
        return
    comment = " ".join("".join(c if c.isprintable() else " " for c in said).split())
    tree = OmegaConf.to_yaml(OmegaConf.create(config.model_dump(mode="json")))
    atomic_write(path, f"# The best of its sweep. {comment}\n{tree}")


if __name__ == "__main__":
    main()
