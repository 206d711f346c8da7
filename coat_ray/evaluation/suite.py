"""One model on one published benchmark: data, checks, questions, answers, and both scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coat_ray.corpus.manifest import Manifest, Row
from coat_ray.evaluation.asking.answers import (
    Answer,
    Answerer,
    AudioNotHeardError,
    EvaluationError,
    Pool,
    Progress,
    ask,
)
from coat_ray.evaluation.benchmarks import PublicBenchmark
from coat_ray.evaluation.benchmarks.base import select_rows
from coat_ray.evaluation.benchmarks.data import benchmark_data
from coat_ray.evaluation.benchmarks.entry import NO_REFERENCE
from coat_ray.evaluation.clips import Clip, inspect_clips, skipped_rows, with_lengths
from coat_ray.evaluation.leakage import Leak, find_leaks, refuse_leaks
from coat_ray.evaluation.marking.f1 import weighted_f1
from coat_ray.evaluation.marking.judge import Agreement, Case, Judge, Judgement, agreement
from coat_ray.evaluation.marking.marks import Mark, Metric
from coat_ray.evaluation.marking.rules import Item
from coat_ray.evaluation.scores import Evaluation, Score
from coat_ray.storage import Storage

Watch = Callable[[str], Any]
"""Gives a context manager with a ``Progress`` for work of this name."""


@dataclass(frozen=True)
class Questions:
    """A benchmark's questions after all checks.

    ``skipped``: row id -> why it is not asked; ``clips``: what is in each clip; ``leaks``: what training has seen.
    """

    benchmark: PublicBenchmark
    manifest: Manifest
    rows: Sequence[Row]
    skipped: Mapping[str, str]
    clips: Mapping[str, Clip]
    leaks: Sequence[Leak] = ()


@dataclass(frozen=True)
class Judged:
    """Judgements of one model's answers, by one judge or two."""

    first: Sequence[Judgement]
    agreement: Agreement | None = None


@dataclass(frozen=True)
class Result:
    """One model on one benchmark; lists are in the order of ``questions.rows``.

    ``strict`` and ``compatible`` are None where a judge is needed and none was named.
    """

    model: str
    identity: str
    questions: Questions
    answers: Sequence[Answer]
    strict: Evaluation | None
    compatible: Evaluation | None
    read: Sequence[str | None]
    judged: Judged | None = None
    further: Mapping[str, Score] = field(default_factory=dict)

    @property
    def benchmark(self) -> PublicBenchmark:
        """Which was asked."""
        return self.questions.benchmark

    def score(self, evaluation: Evaluation | None) -> Score | None:
        """The one score of an evaluation of this benchmark."""
        return evaluation.scores()[self.benchmark.task] if evaluation else None


def prepare(
    benchmark: PublicBenchmark,
    data: Path | None,
    storage: Storage,
    *,
    trained_on: Manifest | None,
    max_rows: int | None,
    allow_leaks: bool,
    watch: Watch,
) -> Questions:
    """Read a benchmark, look at its clips, and compare them with the training corpus, before a model is loaded.

    Args:
        benchmark: which.
        data: folder of its data.
        storage: where copies and what is known of clips are kept.
        trained_on: the training split; None where there is none to compare with.
        max_rows: ask at most so many, chosen by their ids.
        allow_leaks: go on where training has seen a test clip; the report says so.
        watch: shows progress.

    Raises:
        ManifestError: no data, or not in the benchmark's schema.
        AudioError: a broken clip.
        LeakageError: training has seen a test clip.
        EvaluationError: nothing is left to ask.
    """
    manifest = benchmark_data(benchmark, data, storage.cache / "benchmarks")
    chosen = Manifest(tuple(select_rows(manifest.rows, max_rows)), manifest.folder)
    cache = storage.root / "evaluations" / "clips"
    with watch(f"clips of {benchmark.name}") as progress:
        clips = inspect_clips(chosen, cache, progress)
    leaks: list[Leak] = []
    if trained_on is not None:
        with watch("clips of the training corpus") as progress:
            trained = inspect_clips(trained_on, cache, progress, broken=True)
        leaks = find_leaks(benchmark.name, chosen.rows, clips, trained_on.rows, trained)
        if not allow_leaks:
            refuse_leaks(benchmark.name, leaks)
    skipped = {row.id: "no reference" for row in chosen.rows if row.answer == NO_REFERENCE}
    skipped |= skipped_rows(chosen.rows, clips)
    rows = with_lengths((row for row in chosen.rows if row.id not in skipped), clips)
    if not rows:
        raise EvaluationError(f"{benchmark.name}: all of its {len(chosen.rows)} questions are skipped")
    return Questions(benchmark, manifest, rows, skipped, clips, leaks)


def answer_questions(
    answerer: Answerer | Pool,
    questions: Questions,
    path: Path,
    *,
    identity: str,
    batch_rows: int,
    progress: Progress | None = None,
) -> list[Answer]:
    """Ask a model, continuing the file at *path*; every clip that it heard must be the one that the data hold.

    Raises:
        EvaluationError: see ``answers.ask``.
        AudioNotHeardError: a clip did not reach the model, or another one did.
    """
    answers = ask(
        answerer,
        questions.rows,
        path,
        model=identity,
        batch_rows=batch_rows,
        max_new_tokens=questions.benchmark.max_new_tokens,
        progress=progress,
    )
    for row, answer in zip(questions.rows, answers, strict=True):
        expected = " ".join(questions.clips[uri].id for uri in row.audios)
        if answer.audio != expected:
            raise AudioNotHeardError(
                f"row {row.id}: the model heard clip {answer.audio[:12] or 'none'}, the data hold {expected[:12]}"
            )
    return answers


def mark_answers(
    model: str,
    identity: str,
    questions: Questions,
    answers: Sequence[Answer],
    *,
    judges: Sequence[Judge] = (),
    progress: Progress | None = None,
) -> Result:
    """Both scores of the answers; a judged benchmark asks the first judge, and the second for agreement."""
    benchmark = questions.benchmark
    items = [Item.of(row) for row in questions.rows]
    read = [benchmark.strict.read(item, answer.answer) for item, answer in zip(items, answers, strict=True)]
    judged = _judged(benchmark, items, answers, judges, progress) if benchmark.judge and judges else None
    if judged:
        strict, compatible = [j.strict for j in judged.first], [j.compatible for j in judged.first]
    elif benchmark.judge:
        return Result(model, identity, questions, answers, None, None, read)
    else:
        strict = [benchmark.strict.mark(item, a.answer) for item, a in zip(items, answers, strict=True)]
        compatible = [benchmark.compatible.mark(item, a.answer) for item, a in zip(items, answers, strict=True)]
    return Result(
        model,
        identity,
        questions,
        answers,
        _evaluation(model, benchmark, answers, strict, benchmark.strict.metric),
        _evaluation(model, benchmark, answers, compatible, benchmark.compatible.metric),
        read,
        judged,
        _further(benchmark, items, answers, read),
    )


def _evaluation(
    model: str, benchmark: PublicBenchmark, answers: Sequence[Answer], marks: Sequence[Mark], metric: Metric
) -> Evaluation:
    return Evaluation(model, benchmark.name, list(answers), list(marks), {benchmark.task: metric}, by_clip=True)


def _further(
    benchmark: PublicBenchmark, items: Sequence[Item], answers: Sequence[Answer], read: Sequence[str | None]
) -> dict[str, Score]:
    """Scores beside the main one, of the strict reading."""
    if not benchmark.labels:
        return {}
    targets = [item.target for item in items]
    value, interval = weighted_f1(targets, read, [a.audio for a in answers], benchmark.labels)
    unread = sum(one is None for one in read)
    return {"weighted_f1": Score("weighted_f1", value, interval, len(items), unread)}


def _judged(
    benchmark: PublicBenchmark,
    items: Sequence[Item],
    answers: Sequence[Answer],
    judges: Sequence[Judge],
    progress: Progress | None,
) -> Judged:
    assert benchmark.judge is not None
    cases = [Case(item.target, item.reference, a.answer) for item, a in zip(items, answers, strict=True)]
    first, *others = (judge.judge_all(benchmark.judge, cases, progress) for judge in judges)
    return Judged(first, agreement(first, others[0]) if others else None)
