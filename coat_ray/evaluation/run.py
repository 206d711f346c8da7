"""The evaluation of one model: choose the questions, ask them, mark the answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from coat_ray.config import EvaluationConfig
from coat_ray.corpus.manifest import Row
from coat_ray.evaluation.asking.answers import Answerer, Progress, ask
from coat_ray.evaluation.benchmarks import Benchmark
from coat_ray.evaluation.benchmarks.base import select_rows
from coat_ray.evaluation.benchmarks.soundworld import SOUNDWORLD
from coat_ray.evaluation.scores import Evaluation, score


def evaluate(
    answerer: Answerer,
    rows: Sequence[Row],
    path: Path,
    *,
    model: str,
    identity: str | None = None,
    config: EvaluationConfig | None = None,
    benchmark: Benchmark = SOUNDWORLD,
    progress: Progress | None = None,
) -> Evaluation:
    """Ask a model the questions of a split and score its answers.

    Args:
        answerer: the model.
        rows: the split; ``config.max_rows_per_task`` bounds how many of each task group are asked.
        path: JSONL of the answers; an interrupted evaluation continues from it.
        model: the model's name in reports.
        identity: what the answers in *path* must belong to, such as ``tenant/name@version``; default: *model*.
        config: limits and batch size.
        benchmark: how each task group is marked.
        progress: told (questions answered, questions in all) after each batch.

    Raises:
        EvaluationError: see ``answers.ask``.
        ValueError: rows of a task group that the benchmark does not know.
    """
    config = config or EvaluationConfig()
    for row in rows:
        if row.task not in benchmark.tasks:
            raise ValueError(
                f"row {row.id}: {benchmark.name} has no task {row.task!r}; it has {sorted(benchmark.tasks)}"
            )
    answers = ask(
        answerer,
        select_rows(rows, config.max_rows_per_task),
        path,
        model=identity or model,
        batch_rows=config.batch_rows,
        max_new_tokens=config.max_new_tokens,
        progress=progress,
    )
    return score(model, benchmark.name, answers, benchmark.tasks)
