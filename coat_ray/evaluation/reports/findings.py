"""What a campaign found, as tables and pictures, and as one page and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from coat_ray.evaluation.marking.harness import HARNESS
from coat_ray.evaluation.marking.significance import mcnemar
from coat_ray.evaluation.reports import figures
from coat_ray.evaluation.reports.examples import Answered, example_sections
from coat_ray.evaluation.reports.outputs import result_json
from coat_ray.evaluation.reports.page import Picture, Section
from coat_ray.evaluation.reports.report import STAR, Table, difference_cell, score_cell
from coat_ray.evaluation.scores import Score, difference, score_json
from coat_ray.evaluation.suite import Result

LOWER_IS_BETTER = {"wer": " (WER, lower is better)", "mean_wer": " (mean WER, lower is better)"}
_NOTE = (
    f"compatible: as {HARNESS} marks; strict: nothing guessed, unreadable is wrong, corpus WER, Whisper's normaliser"
)


def scores_table(results: Sequence[Result]) -> Table:
    """Benchmarks by models, both scores side by side, in per cent with 95 % intervals."""
    grid = _grid(results)
    models = list(dict.fromkeys(result.model for result in results))
    rows, notes = [], [_NOTE]
    for name, own in grid.items():
        first = next(iter(own.values()))
        cells = [cell for model in models for cell in _score_cells(own.get(model))]
        rows.append((_label(name, first), str(len(first.answers)), str(len(first.questions.skipped)), *cells))
        for model, result in own.items():
            for further, score in result.further.items():
                notes.append(f"{model}, {name}: {further.replace('_', ' ')} {score_cell(score)}, strict")
            notes += _judge_notes(model, result)
    heads = [f"{model} {kind}" for model in models for kind in ("strict", "compatible", "unreadable")]
    data: dict[str, dict[str, Any]] = {result.model: {} for result in results}
    for result in results:
        data[result.model][result.benchmark.name] = result_json(result)
    return Table("Scores in % [95 % interval]", ("benchmark", "n", "skipped", *heads), rows, notes, data)


def _score_cells(result: Result | None) -> tuple[str, str, str]:
    if result is None:
        return ("-", "-", "-")
    if result.strict is None:
        return ("needs a judge", "needs a judge", str(sum(said is None for said in result.read)))
    strict, compatible = result.score(result.strict), result.score(result.compatible)
    assert strict is not None
    assert compatible is not None
    return (score_cell(strict), score_cell(compatible), str(strict.unparsed))


def _judge_notes(model: str, result: Result) -> list[str]:
    if result.judged is None:
        return []
    failed = sum(judgement.rating is None for judgement in result.judged.first)
    said = f"{model}, {result.benchmark.name}: {failed} of {len(result.judged.first)} judgements failed, left out"
    if agree := result.judged.agreement:
        said += (
            f"; a second judge: Cohen's kappa {agree.kappa:.2f}, quadratic {agree.weighted_kappa:.2f}, "
            f"equal on {100 * agree.equal:.0f} % of {agree.n}"
        )
    return [said]


def _label(name: str, result: Result) -> str:
    return name + LOWER_IS_BETTER.get(result.benchmark.strict.metric, "")


def differences_table(results: Sequence[Result], reference: str) -> Table | None:
    """Every other model minus *reference* on the same questions; None where nothing can be compared."""
    rows, data = [], {}
    for name, own in _grid(results).items():
        base = own.get(reference)
        for model, result in own.items():
            if base is None or model == reference or result.strict is None or base.strict is None:
                continue
            change = difference(result.strict, base.strict, [result.benchmark.task])
            assert result.compatible is not None
            assert base.compatible is not None
            other = difference(result.compatible, base.compatible, [result.benchmark.task])
            test = mcnemar(result.strict.marks, base.strict.marks) if change.metric == "accuracy" else None
            rows.append(
                (
                    _label(name, result),
                    model,
                    str(change.n),
                    difference_cell(change),
                    difference_cell(other),
                    f"{test.only_first} / {test.only_second}" if test else "-",
                    f"{test.p_value:.3g}" if test else "-",
                )
            )
            data[f"{name}: {model} - {reference}"] = {
                "strict": score_json(change),
                "compatible": score_json(other),
                "mcnemar": vars(test) if test else None,
            }
    if not rows:
        return None
    columns = ("benchmark", "model", "n", "strict", "compatible", "only it / only the other right", "p (McNemar)")
    return Table(f"Differences to {reference} in points [95 % interval]", columns, rows, [STAR], data)


def presence_table(results: Sequence[Result]) -> Table:
    """That every clip was heard, what was skipped and why, and what training had seen."""
    rows = []
    for result in results:
        reasons = dict.fromkeys(result.questions.skipped.values())
        counts = [f"{sum(why == r for why in result.questions.skipped.values())} {r}" for r in reasons]
        tokens = [answer.audio_tokens for answer in result.answers]
        clips = len({answer.audio for answer in result.answers})
        leaks = str(len(result.questions.leaks))
        rows.append(
            (result.benchmark.name, result.model, str(clips), f"{sum(tokens):,}", "; ".join(counts) or "none", leaks)
        )
    columns = ("benchmark", "model", "clips heard", "audio tokens", "skipped", "leaks")
    return Table("What was heard", columns, rows)


def draw_results(results: Sequence[Result]) -> Picture | None:
    """Strict scores with their intervals, a colour for each model; None where nothing is scored."""
    scored = [(result, score) for result in results if (score := result.score(result.strict))]
    if not scored:
        return None
    names = list(dict.fromkeys(result.benchmark.name for result, _ in scored))
    models = list(dict.fromkeys(result.model for result, _ in scored))
    figure, (axes,) = figures.new_figure(8, 1.2 + 0.3 * len(names) * max(1, len(models) / 2))
    handles: dict[str, Any] = {}
    for result, score in scored:
        column = models.index(result.model)
        height = names.index(result.benchmark.name) + 0.5 * (column - (len(models) - 1) / 2) / len(models)
        axes.plot([100 * score.interval.low, 100 * score.interval.high], [height] * 2, color=f"C{column % 10}", lw=2)
        handles[result.model] = axes.plot(100 * score.value, height, "D", color=f"C{column % 10}", ms=6)[0]
    axes.set_yticks(range(len(names)), [figures.plain(name) for name in names])
    axes.invert_yaxis()
    axes.set(xlabel="strict score in %; of WERs, lower is better")
    axes.grid(axis="x", alpha=0.3)
    axes.legend([*handles.values()], [figures.plain(model) for model in handles], fontsize="small")
    alt = f"Strict scores of {len(models)} models on {len(names)} benchmarks with 95 % intervals, as in the table"
    return figures.picture("scores", "Strict score (diamond) and its 95 % interval", alt, figure)


def sections(results: Sequence[Result], reference: str | None) -> list[Section]:
    """The page's parts, the most asked for first."""
    picture = draw_results(results) if figures.can_draw() else None
    parts = [Section("Scores", table=scores_table(results), picture=picture)]
    if reference and (table := differences_table(results, reference)):
        parts.append(Section(f"Differences to {reference}", table=table))
    parts.append(Section("What was heard", table=presence_table(results)))
    parts += _skills(results)
    grid = _grid(results)
    for result in results:
        if result.strict is None or result.model == reference:
            continue
        base = grid[result.benchmark.name].get(reference) if reference else None
        title = f"{result.benchmark.name}, {result.model}"
        parts += example_sections(title, _answered(result), _answered(base) if base and base.strict else None)
    return parts


def _answered(result: Result) -> Answered:
    assert result.strict is not None
    return Answered(result.strict, result.questions.manifest, result.read)


def _skills(results: Sequence[Result]) -> list[Section]:
    rows = []
    for result in results:
        skills: Mapping[str, Score] = result.strict.skills(result.benchmark.task) if result.strict else {}
        rows += [(f"{result.benchmark.name}: {s}", result.model, str(x.n), score_cell(x)) for s, x in skills.items()]
    table = Table("Strict scores by part in %", ("part", "model", "n", "strict"), rows)
    return [Section("By part", table=table, folded=True)] if rows else []


def tables_of(results: Sequence[Result], reference: str | None) -> dict[str, Table]:
    """The tables for the terminal, Markdown and JSON."""
    tables = {"benchmarks": scores_table(results)}
    if reference and (table := differences_table(results, reference)):
        tables["benchmark_differences"] = table
    return tables | {"heard": presence_table(results)}


def facts_of(results: Sequence[Result]) -> list[tuple[str, str]]:
    """What the page says first."""
    return [
        ("benchmarks", ", ".join(dict.fromkeys(result.benchmark.name for result in results))),
        ("licences", "; ".join(dict.fromkeys(f"{r.benchmark.name}: {r.benchmark.licence}" for r in results))),
        ("compatible with", HARNESS),
    ]


def _grid(results: Sequence[Result]) -> dict[str, dict[str, Result]]:
    grid: dict[str, dict[str, Result]] = {}
    for result in results:
        grid.setdefault(result.benchmark.name, {})[result.model] = result
    return grid
