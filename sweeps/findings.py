"""What a sweep says: its statistics computed once, and the sections of the report that show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from coat_ray.evaluation.reports import figures
from coat_ray.evaluation.reports.page import Section
from sweeps import drawing, tables
from sweeps.estimates import STATES, PointResult, best_point, luckier, pareto_front, points_of, ranking, score_of
from sweeps.importance import Importance, importances
from sweeps.record import Objective, SweepRecord
from sweeps.results import TrialResult

BEST = "best.yaml"
NO_PICTURES = "Made without pictures: drawing needs matplotlib (pip install 'coat-ray[draw]')."


@dataclass(frozen=True)
class Findings:
    """Everything that the report says, computed once."""

    results: Sequence[TrialResult]
    points: Sequence[PointResult]
    ladder: Sequence[PointResult]
    """Declared variants in their order; empty where there are fewer than two."""
    best: PointResult | None
    front: Sequence[PointResult]
    """Points that no other beats in both score and time of a step; empty where that time is no objective."""
    importances: Sequence[Importance]
    objective: Objective


def find(results: Sequence[TrialResult], objective: Objective, variants: Sequence[str] = ()) -> Findings:
    """Points, the ladder of declared variants, the best point and importances of drawn parameters."""
    points = points_of(results, variants)
    declared = [point for point in points if point.variant is not None and point.variant in variants]
    drawn = [point for point in points if point.variant is None]
    return Findings(
        results=results,
        points=points,
        ladder=declared if len(declared) > 1 else (),
        best=best_point(points, objective),
        front=pareto_front(points, objective) if objective.cost else (),
        importances=importances(drawn, objective),
        objective=objective,
    )


def sections(found: Findings, pictures: Mapping[str, drawing.Picture]) -> list[Section]:
    """What the page shows, in its order."""
    objective, points, results = found.objective, found.points, found.results
    ranked = ranking(points, objective)
    parts = [
        Section("Best", [*best_says(found), *([] if figures.can_draw() else [NO_PICTURES])]),
        Section("Points, best first", (), tables.points_table(points, objective), pictures.get("scores")),
    ]
    if found.front:
        table = tables.front_table(found.front, objective)
        parts.append(Section(table.title, _front_says(found), table, pictures.get("cost")))
    if found.ladder:
        table = tables.ladder_table(found.ladder, objective)
        parts.append(Section(table.title, tables.ladder_says(found.ladder, objective), table))
    if groups := tables.groups_table(found.ladder or ranked, objective):
        parts.append(Section(groups.title, (), groups))
    if found.ladder and (changes := tables.group_changes_table(found.ladder, objective)):
        parts.append(Section(changes.title, (), changes))
    if "curves" in pictures:
        parts.append(Section("Learning curves", (), None, pictures["curves"]))
    if "parallel" in pictures:
        parts.append(Section("Parallel coordinates", (), None, pictures["parallel"]))
    if found.importances:
        num_points = sum(point.variant is None and point.estimate is not None for point in points)
        table = tables.importance_table(found.importances, num_points)
        parts.append(Section(table.title, (), table, pictures.get("importance")))
    parts.append(Section("Cost", (), tables.cost_table(results), None if found.front else pictures.get("cost")))
    if failed := [f"{trial.trial}: {trial.reason or 'no reason was kept'}" for trial in results if _is_failed(trial)]:
        parts.append(Section("Failed trials", failed))
    return [*parts, Section("All trials", (), tables.trials_table(results, objective), folded=True)]


def best_says(found: Findings) -> list[str]:
    """Which point is the best, how sure that is, and which others look better over fewer seeds."""
    best, objective = found.best, found.objective
    if best is None:
        return [f"No trained trial has a score, so there is no best point and no {BEST}."]
    score = tables.score_cell(best.estimate, objective)
    said = [f"{best.label}: {tables.unit(objective)} {score}, {tables.settings(best) or 'nothing changed'}."]
    if not best.finished:
        said.append("No trial was trained to its end: this is the best of the stopped ones.")
    elif len(best.finished) == 1:
        said.append(tables.ONE_SEED)
    else:
        said.append(
            f"The interval is over {len(best.finished)} seeds. The best of many is partly lucky: "
            "another seed is likely to score a little worse."
        )
    for point in luckier(found.points, best, objective):
        cell = tables.score_cell(point.estimate, objective)
        why = "is not trained" if point.untrained else f"has fewer finished seeds ({len(point.finished)})"
        said.append(f"{point.label} looks better with {cell}, but {why}.")
    if found.front:
        said.append(f"{BEST} has the best score, whatever its steps cost: what a shorter step costs in score is below.")
    seed = chosen(best).seed
    return [*said, f"{BEST} is its configuration with seed {seed}: python jobs/train.py --config {BEST}"]


def facts_of(found: Findings, record: SweepRecord) -> list[tuple[str, str]]:
    """What the reader must know first, as (name, value)."""
    counts = ", ".join(f"{n} {s}" for s in STATES if (n := sum(trial.state == s for trial in found.results)))
    direction = "the smaller the better" if found.objective.minimise else "the larger the better"
    rival = "; the time of a step is a second objective" if found.objective.cost else ""
    seeds = sorted({trial.seed for trial in found.results})
    facts = [
        ("Command", record.command),
        ("Objective", f"{found.objective.name}, {direction}, on the {record.sweep.objective.split} split{rival}"),
        ("Trials", f"{len(found.results)} ({counts}) of {len(found.points)} points"),
        ("Seeds", ", ".join(map(str, seeds)) + ("; one seed is one draw" if len(seeds) == 1 else "")),
        ("Intervals", "95 %, Student's t over seeds, on the same questions"),
    ]
    return [*facts, *([("Commit", record.commit)] if record.commit else [])]


def chosen(best: PointResult) -> TrialResult:
    """The best point's trial with the first seed that counts: not the luckiest one."""
    seed = next(iter(best.finished), best.trials[0].seed)
    return next(trial for trial in best.trials if trial.seed == seed)


def _front_says(found: Findings) -> list[str]:
    timed = sum(bool(point.finished) and point.step_seconds is not None for point in found.points)
    return [
        f"Of {timed} points, no other beats any of these in both score and time of a step.",
        "The time is the median over a trial's log, measured beside whatever else ran.",
    ]


def _is_failed(trial: TrialResult) -> bool:
    return trial.state == "failed" or score_of(trial) is None
