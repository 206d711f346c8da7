"""What a sweep found, as tables and sentences: pure functions from points to text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import rich.table
from rich.markup import escape

from coat_ray.evaluation.reports.report import Table
from sweeps.estimates import STATES, Estimate, PointResult, Step, difference, ladder, ranking, score_of
from sweeps.importance import POINTS_PER_PARAMETER, Importance, choice
from sweeps.record import Objective
from sweeps.results import TrialResult

GROUP_COLUMNS = 8
"""Points side by side in the table of task groups."""
ONE_SEED = "One seed is one draw: such points have no interval, and their order may be luck."
NOTHING = "-"
STAR = "* the 95 % interval of the difference, paired by seed, excludes zero (Student's t over seeds)"


def points_table(points: Sequence[PointResult], objective: Objective, top: int | None = None) -> Table:
    """Points, best first: score over seeds, how many ended how, time of a step, what they set."""
    ranked = ranking(points, objective)
    rows = [
        (
            point.label,
            score_cell(point.estimate, objective) + (" (stopped)" if point.state == "stopped" else ""),
            str(len(point.finished)),
            str(point.count("stopped")),
            str(point.count("failed")),
            number(point.step_seconds),
            settings(point),
        )
        for point in ranked[:top]
    ]
    title = "Points, best first" if top is None or top >= len(ranked) else f"Best {top} of {len(ranked)} points"
    columns = ("point", f"{unit(objective)} [95 %]", "seeds", "stopped", "failed", "step in s", "sets")
    trained = [point for point in ranked if not point.untrained]
    notes = [ONE_SEED] if any(point.estimate and point.estimate.n == 1 for point in trained) else []
    notes += [f"{point.label} is not trained, and the same for every seed." for point in ranked if point.untrained]
    if len({len(point.finished) for point in trained if point.finished}) > 1:
        notes.append("Points with more finished seeds come first: a mean over fewer seeds is luckier.")
    return Table(title, columns, rows, notes)


def terminal_table(points: Sequence[PointResult], objective: Objective, top: int = 10) -> rich.table.Table:
    """The best points for the terminal; names are shown as they are, never read as markup."""
    table = points_table(points, objective, top)
    return replace(table, rows=[tuple(escape(cell) for cell in row) for row in table.rows]).to_rich()


def front_table(front: Sequence[PointResult], objective: Objective) -> Table:
    """Points that no other beats in both score and time of a step, the shortest step first."""
    rows = [
        (point.label, number(point.step_seconds), score_cell(point.estimate, objective), settings(point))
        for point in front
    ]
    columns = ("point", "step in s", f"{unit(objective)} [95 %]", "sets")
    return Table("Score against time of a step (Pareto front)", columns, rows)


def ladder_table(variants: Sequence[PointResult], objective: Objective) -> Table:
    """Declared variants in their order, each with its difference to the one before and to the first."""
    first = variants[0]
    rows: list[tuple[str, ...]] = [(*_who(first, objective), "", "")]
    for point, (before, start) in zip(variants[1:], ladder(variants), strict=True):
        cells = (change_cell(step.change, objective) for step in (before, start))
        rows.append((*_who(point, objective), *cells))
    columns = ("variant", f"{unit(objective)} [95 %]", "seeds", "minus the one before", f"minus {first.label}")
    return Table("Ablation: each step of the ladder", columns, rows, [STAR])


def ladder_says(variants: Sequence[PointResult], objective: Objective) -> list[str]:
    """A sentence for every difference of the ladder, and one on whether the declared order appears."""
    steps = ladder(variants)
    different = dict.fromkeys(step for pair in steps for step in pair)
    said = [step_says(step, objective) for step in different]
    compared = [before for before, _ in steps if before.change]
    wrong = [b for b in compared if b.change and not objective.better(b.change.mean)]
    shown = sum(1 for b in compared if b.change and b.change.excludes_zero and objective.better(b.change.mean))
    if len(compared) < len(steps):
        order = "Whether the means improve along the declared order cannot be said: some have no seed in common."
    elif wrong:
        names = ", ".join(f"{step.variant} is not better than {step.against}" for step in wrong)
        order = f"The means do not improve at each step of the declared order: {names}."
    else:
        order = f"The means improve at each step of the declared order; {shown} of {len(steps)} intervals exclude zero."
    intervals = sum(1 for step in different if step.change and step.change.interval)
    return [*said, order, *([many(intervals)] if intervals > 1 else [])]


def many(intervals: int) -> str:
    """A caution about looking at so many."""
    return f"{intervals} intervals, not corrected for their number: of 20 true zeros, one is excluded by chance."


def step_says(step: Step, objective: Objective) -> str:
    """One difference as a sentence, with a verdict on zero and, where there is none, why not."""
    pair, change = f"{step.variant} minus {step.against}", step.change
    if change is None:
        return f"{pair}: no seed finished in both, so nothing can be said."
    size = f"{change_cell(change, objective, star=False)}{' points' if objective.percent else ''}"
    if change.interval is None:
        return f"{pair}: {size} with one common seed; without an interval nothing can be said about zero."
    if not change.excludes_zero:
        return f"{pair}: {size} over {change.n} seeds; the interval includes zero: no difference is shown."
    verdict = "better" if objective.better(change.mean) else "worse"
    return f"{pair}: {size} over {change.n} seeds; the interval excludes zero: {step.variant} is {verdict}."


def groups_table(points: Sequence[PointResult], objective: Objective) -> Table | None:
    """Task groups by points, means over finished seeds; None where no trial has scores of groups."""
    shown = [point for point in points if point.finished][:GROUP_COLUMNS]
    tasks = _tasks(shown)
    rows = [(task, *(score_cell(point.in_task(task).estimate, objective) for point in shown)) for task in tasks]
    title = "Task groups" + (" in %" if objective.percent else "") + " [95 %]"
    return Table(title, ("task group", *(point.label for point in shown)), rows, _wer(tasks)) if tasks else None


def group_changes_table(variants: Sequence[PointResult], objective: Objective) -> Table | None:
    """Task groups by declared variants, each minus the first, paired by seed; None without scores of groups."""
    first, others = variants[0], variants[1 : 1 + GROUP_COLUMNS]
    tasks = [task for task in _tasks(others) if task in first.tasks]
    if not tasks:
        return None
    changes = {task: [difference(p.in_task(task), first.in_task(task)).change for p in others] for task in tasks}
    rows = [(task, *(change_cell(change, objective) for change in changes[task])) for task in tasks]
    intervals = sum(1 for each in changes.values() for change in each if change and change.interval)
    title = f"Task groups minus {first.label}" + (" in points" if objective.percent else "") + " [95 %]"
    notes = [*_wer(tasks), STAR, *([many(intervals)] if intervals > 1 else [])]
    return Table(title, ("task group", *(p.label for p in others)), rows, notes)


def importance_table(found: Sequence[Importance], num_points: int) -> Table:
    """Each parameter's share beside what chance would give."""
    rows = [
        (i.param, f"{i.share:.2f}", f"{i.chance:.2f}", "" if i.trend is None else f"{i.trend:+.2f}", _reading(i))
        for i in found
    ]
    notes = [
        "share: variance of the points' ranks between the values of this parameter (of many numbers: between thirds)",
        "chance: what 95 % of shuffled scores do not exceed; trend: rank correlation with a better score",
        "Stopped trials count with the score at which they were stopped; interactions are not seen.",
    ]
    if num_points < POINTS_PER_PARAMETER * len(found):
        notes.append(f"Caution: {num_points} points for {len(found)} parameters are few; read the shares as hints.")
    return Table("Importance of each parameter", ("parameter", "share", "chance", "trend", "reading"), rows, notes)


def cost_table(results: Sequence[TrialResult]) -> Table:
    """Trials, steps and hours by how the trials ended, and in all."""
    rows = []
    for label, chosen in [*((s, [r for r in results if r.state == s]) for s in STATES), ("all", list(results))]:
        hours = (sum(r.seconds for r in chosen) / 3600, sum(r.core_hours for r in chosen))
        cells = (*hours, sum(r.gpu_hours for r in chosen))
        rows.append((label, str(len(chosen)), str(sum(r.steps for r in chosen)), *(f"{cell:.2f}" for cell in cells)))
    columns = ("trials that are", "trials", "steps", "hours", "core-hours", "GPU-hours")
    return Table(
        "Cost", columns, rows, ["Hours add up over trials side by side; core- and GPU-hours are what trials held."]
    )


def trials_table(results: Sequence[TrialResult], objective: Objective) -> Table:
    """Every trial, as it ended."""
    rows = [
        (
            trial.trial,
            str(trial.seed),
            trial.state,
            "" if (score := score_of(trial)) is None else score_text(score, objective),
            str(trial.steps),
            number(trial.step_seconds),
            f"{trial.core_hours:.2f}",
            f"{trial.gpu_hours:.2f}",
            trial.model or trial.reason,
        )
        for trial in results
    ]
    columns = ("trial", "seed", "state", unit(objective), "steps", "step in s", "core-h", "GPU-h", "model or reason")
    return Table("All trials", columns, rows)


def unit(objective: Objective) -> str:
    """The objective as the head of a column."""
    return f"{objective.name} in %" if objective.percent else objective.name


def score_text(score: float, objective: Objective) -> str:
    """A score without its interval."""
    return f"{100 * score:.1f}" if objective.percent else f"{score:.4g}"


def score_cell(found: Estimate | None, objective: Objective) -> str:
    """Such as ``61.2 [58.0, 64.4]``; ``61.2`` for one seed, a dash for none."""
    if found is None:
        return NOTHING
    texts = [score_text(value, objective) for value in (found.mean, *_ends(found))]
    return texts[0] + (f" [{texts[1]}, {texts[2]}]" if found.interval else "")


def change_cell(change: Estimate | None, objective: Objective, *, star: bool = True) -> str:
    """Such as ``+3.2 [+1.1, +5.3] *``; the star says that the interval excludes zero."""
    if change is None:
        return NOTHING
    texts = [f"{100 * v:+.1f}" if objective.percent else f"{v:+.4g}" for v in (change.mean, *_ends(change))]
    interval = f" [{texts[1]}, {texts[2]}]" if change.interval else ""
    return texts[0] + interval + (" *" if star and change.excludes_zero else "")


def settings(point: PointResult) -> str:
    """What a point sets, such as ``optim.lr=0.002, arms=["sft"]``."""
    return ", ".join(f"{key}={choice(value)}" for key, value in point.params.items())


def number(value: float | None) -> str:
    """Three digits, or nothing."""
    return "" if value is None else f"{value:.3g}"


def _tasks(points: Sequence[PointResult]) -> list[str]:
    return list(dict.fromkeys(task for point in points for task in point.tasks))


def _wer(tasks: Sequence[str]) -> list[str]:
    return ["In asr the score is a word error rate: lower is better."] if "asr" in tasks else []


def _who(point: PointResult, objective: Objective) -> tuple[str, str, str]:
    return point.label, score_cell(point.estimate, objective), str(len(point.finished))


def _ends(found: Estimate) -> tuple[float, ...]:
    return (found.interval.low, found.interval.high) if found.interval else ()


def _reading(importance: Importance) -> str:
    if not importance.readable:
        return "not more than chance"
    if importance.trend is None or abs(importance.trend) < 0.3:
        return "matters"
    return "more is better" if importance.trend > 0 else "less is better"
