"""Tables from evaluations, for the terminal, as Markdown and as JSON. Pure functions from data to table.

Scores are shown in per cent with their 95 % interval, rows are task groups, columns are models.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import rich.table

from coat_ray.evaluation.scores import (
    Difference,
    Evaluation,
    Score,
    difference,
    require_same_questions,
    score_json,
)
from coat_ray.storage import atomic_write

MEAN = "mean of accuracy groups"
STAR = "* the 95 % interval of the paired difference excludes zero (bootstrap over clips, same questions)"


@dataclass(frozen=True)
class Table:
    """Cells as text for people, ``data`` as numbers for programs."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    notes: Sequence[str] = ()
    data: Any = None

    def to_rich(self) -> rich.table.Table:
        """For the terminal."""
        table = rich.table.Table(title=self.title, caption="\n".join(self.notes) or None, caption_justify="left")
        for number, column in enumerate(self.columns):
            table.add_column(column, justify="right" if number else "left", no_wrap=True)
        for row in self.rows:
            table.add_row(*row)
        return table

    def to_markdown(self) -> str:
        """For documents and pull requests."""
        rule = ["---" if number == 0 else "---:" for number in range(len(self.columns))]
        lines = ["| " + " | ".join(cells) + " |" for cells in (self.columns, rule, *self.rows)]
        return "\n".join([f"### {self.title}", "", *lines, "", *(f"{note}  " for note in self.notes)]).rstrip() + "\n"


@dataclass(frozen=True)
class Distillation:
    """An expert's held-out loss, and the loss of the best prediction that never looks at the clip."""

    loss: float
    constant: float

    @property
    def ratio(self) -> float:
        """Below 1: the block says something about the clip."""
        return self.loss / self.constant


def score_table(
    evaluations: Sequence[Evaluation],
    differences: Sequence[tuple[str, str]] = (),
    title: str = "Held-out scores in % [95 % interval]",
) -> Table:
    """Task groups by models, the mean over accuracy groups, and a column for each difference (minuend, subtrahend).

    Raises:
        ValueError: models that answered different questions, or a difference that names an absent model.
    """
    require_same_questions(evaluations)
    first, named = evaluations[0], {e.model: e for e in evaluations}
    for name in {name for pair in differences for name in pair} - set(named):
        raise ValueError(f"no evaluation of {name!r} to compare; there are {sorted(named)}")
    scores = {e.model: e.scores() for e in evaluations}
    rows = []
    for task, score in scores[first.model].items():
        cells = [score_cell(scores[name][task]) for name in named]
        changes = [difference_cell(difference(named[a], named[b], [task])) for a, b in differences]
        rows.append((_label(task, score), str(score.n), *cells, *changes))
    if tasks := first.accuracy_tasks():
        means = [e.mean_accuracy() for e in evaluations]
        changes = [difference_cell(difference(named[a], named[b], tasks)) for a, b in differences]
        cells = [score_cell(mean) for mean in means if mean]
        rows.append((MEAN, str(means[0].n if means[0] else 0), *cells, *changes))
    columns = ("task group", "n", *named, *(f"{a} - {b}" for a, b in differences))
    notes = ([STAR] if differences else []) + _unparsed_notes(evaluations)
    return Table(title, columns, rows, notes, _score_data(evaluations, differences))


def skill_table(evaluations: Sequence[Evaluation], title: str = "Held-out scores by skill in %") -> Table:
    """Skills within task groups by models."""
    require_same_questions(evaluations)
    rows = []
    for task in evaluations[0].scores():
        first, *others = [e.skills(task) for e in evaluations]
        for skill, score in first.items():
            cells = [score_cell(score), *(score_cell(other[skill]) for other in others)]
            rows.append((f"{task}: {skill}", str(score.n), *cells))
    return Table(title, ("skill", "n", *(e.model for e in evaluations)), rows, data=_score_data(evaluations, ()))


def distillation_table(experts: Mapping[str, Distillation], title: str = "Distillation on held-out clips") -> Table:
    """Each expert's loss beside the loss of the best constant prediction."""
    rows = [(role, f"{d.loss:.4g}", f"{d.constant:.4g}", f"{d.ratio:.2f}") for role, d in experts.items()]
    data = {role: {"loss": d.loss, "constant": d.constant, "ratio": d.ratio} for role, d in experts.items()}
    notes = ["ratio below 1: the block says more about the clip than the best prediction that never looks at it"]
    return Table(title, ("expert", "loss", "best constant", "ratio"), rows, notes, data)


def ablation_table(
    conditions: Mapping[str, Evaluation], title: str = "The same model with its block changed, in % [95 % interval]"
) -> Table:
    """One trained model under several treatments of its block; the first condition is the one to compare with."""
    evaluations = [replace(e, model=label) for label, e in conditions.items()]
    table = score_table(evaluations, title=title)
    reference, *changed = evaluations
    tasks = reference.accuracy_tasks()
    if not tasks:
        return table
    differences = {e.model: difference(e, reference, tasks) for e in changed}
    cells = ("", *(difference_cell(d) for d in differences.values()))
    data = table.data | {"minus_reference": {label: score_json(d) for label, d in differences.items()}}
    row = (f"{MEAN}, minus {reference.model}", str(next(iter(differences.values())).n) if changed else "", *cells)
    return replace(table, rows=[*table.rows, row], notes=[STAR, *table.notes], data=data)


def write_report(folder: Path, tables: Mapping[str, Table], name: str = "report") -> tuple[Path, Path]:
    """Write ``report.md`` and ``report.json`` (key -> the table's data) and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    markdown, data = folder / f"{name}.md", folder / f"{name}.json"
    atomic_write(markdown, "\n".join(table.to_markdown() for table in tables.values()))
    atomic_write(data, json.dumps({key: table.data for key, table in tables.items()}, indent=2) + "\n")
    return markdown, data


def score_cell(score: Score) -> str:
    """Such as ``84.2 [80.1, 87.6]``, in per cent."""
    return f"{100 * score.value:.1f} [{100 * score.interval.low:.1f}, {100 * score.interval.high:.1f}]"


def difference_cell(change: Difference) -> str:
    """Such as ``+5.0 [+1.2, +8.9] *``, in points; the star says that the interval excludes zero."""
    low, high = change.interval.low, change.interval.high
    star = " *" if low > 0 or high < 0 else ""
    return f"{100 * change.value:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]{star}"


def _label(task: str, score: Score) -> str:
    return f"{task} (WER, lower is better)" if score.metric == "wer" else task


def _score_data(evaluations: Sequence[Evaluation], differences: Sequence[tuple[str, str]]) -> dict[str, Any]:
    named = {e.model: e for e in evaluations}
    tasks = evaluations[0].accuracy_tasks()
    changes = {}
    for a, b in differences:
        per_task = {t: score_json(difference(named[a], named[b], [t])) for t in evaluations[0].scores()}
        mean = score_json(difference(named[a], named[b], tasks)) if tasks else None
        changes[f"{a}-{b}"] = {"tasks": per_task, "mean_accuracy": mean}
    return {"models": {e.model: e.to_json() for e in evaluations}, "differences": changes}


def _unparsed_notes(evaluations: Sequence[Evaluation]) -> list[str]:
    counts = [(e.model, task, s) for e in evaluations for task, s in e.scores().items() if s.unparsed]
    return [
        f"{model}, {task}: {s.unparsed} of {s.n} answers empty or unreadable, counted as wrong"
        for model, task, s in counts
    ]
