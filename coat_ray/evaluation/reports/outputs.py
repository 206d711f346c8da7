"""Results as files: lmms-eval's layout (``results.json``, ``samples_*.jsonl``), and Parquet with everything we know.

The names carry no date, so a run that was killed and continued leaves the same files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from coat_ray.evaluation.marking.marks import Mark
from coat_ray.evaluation.scores import Score, score_json
from coat_ray.evaluation.suite import Result
from coat_ray.provenance import fingerprint, git_state, versions
from coat_ray.storage import atomic_write

FILTER = "none"
"""lmms-eval names a metric together with the filter of the answers: "accuracy,none"."""


def write_outputs(folder: Path, results: Sequence[Result]) -> list[Path]:
    """Write the results of one or several models, a folder for each model; returns the folders."""
    folders = []
    for model in dict.fromkeys(result.model for result in results):
        place = folder / model.replace("/", "__")
        own = [result for result in results if result.model == model]
        atomic_write(place / "results.json", _dumped(aggregated(model, own)))
        for result in own:
            lines = (json.dumps(sample, ensure_ascii=False) + "\n" for sample in samples(result))
            atomic_write(place / f"samples_{result.benchmark.name}.jsonl", "".join(lines))
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist([row for result in own for row in _rows(result)]), sink, compression="zstd")
        atomic_write(place / "samples.parquet", sink.getvalue().to_pybytes())
        folders.append(place)
    return folders


def aggregated(model: str, results: Sequence[Result]) -> dict[str, Any]:
    """``results.json`` of one model, keyed as lmms-eval does; ``coat`` holds what it has no place for."""
    return {
        "results": {result.benchmark.name: _scores(result) for result in results},
        "configs": {result.benchmark.name: _config(result) for result in results},
        "versions": {result.benchmark.name: 0 for result in results},
        "n-shot": {result.benchmark.name: 0 for result in results},
        "higher_is_better": {result.benchmark.name: _higher(result) for result in results},
        "n-samples": {result.benchmark.name: _counts(result) for result in results},
        "task_hashes": {result.benchmark.name: fingerprint(list(result.questions.rows)) for result in results},
        "model_name": model,
        "coat": {
            "identity": {result.benchmark.name: result.identity for result in results},
            "benchmarks": {result.benchmark.name: result_json(result) for result in results},
            "versions": versions(),
            "git": git_state(),
        },
    }


def samples(result: Result) -> list[dict[str, Any]]:
    """Lines of ``samples_<benchmark>.jsonl``: lmms-eval's fields, then ours."""
    lines = []
    for number, (row, answer) in enumerate(zip(result.questions.rows, result.answers, strict=True)):
        marks = _marks(result, number)
        metric = _metric(result)
        lines.append(
            {
                "doc_id": number,
                "target": answer.reference,
                "input": answer.question,
                "filtered_resps": [answer.answer],
                "doc_hash": fingerprint(row),
                metric: _value(marks["compatible"]),
                "id": row.id,
                "skill": answer.skill,
                "read_as": result.read[number],
                "strict": _value(marks["strict"]),
                "audio": answer.audio,
                "audio_tokens": answer.audio_tokens,
                "judge": result.judged.first[number].reply if result.judged else None,
            }
        )
    return lines


def result_json(result: Result) -> dict[str, Any]:
    """Everything about one model on one benchmark, as plain data."""
    scores = {"strict": result.score(result.strict), "compatible": result.score(result.compatible)}
    judged, skills = result.judged, result.strict.skills(result.benchmark.task) if result.strict else {}
    return {
        "model": result.model,
        "n": len(result.answers),
        **{name: score_json(score) if score else None for name, score in scores.items()},
        "further": {name: score_json(score) for name, score in result.further.items()},
        "skills": {name: score_json(score) for name, score in skills.items()},
        "unread": sum(said is None for said in result.read),
        "skipped": _reasons(result.questions.skipped),
        "leaks": [vars(leak) for leak in result.questions.leaks],
        "failed_judgements": sum(j.rating is None for j in judged.first) if judged else None,
        "judges_agree": vars(judged.agreement) if judged and judged.agreement else None,
        "audio_tokens": sum(answer.audio_tokens for answer in result.answers),
        "like": result.benchmark.like,
        "licence": result.benchmark.licence,
    }


def _reasons(skipped: Mapping[str, str]) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    for row, why in skipped.items():
        reasons.setdefault(why, []).append(row)
    return reasons


def _scores(result: Result) -> dict[str, Any]:
    metric = _metric(result)
    found: dict[str, Any] = {"alias": result.benchmark.name}
    for name, score in ((metric, result.score(result.compatible)), ("strict", result.score(result.strict))):
        found |= {f"{name},{FILTER}": score.value, f"{name}_interval,{FILTER}": _bounds(score)} if score else {}
    return found | {f"{name},{FILTER}": score.value for name, score in result.further.items()}


def _bounds(score: Score) -> list[float]:
    return [score.interval.low, score.interval.high]


def _config(result: Result) -> dict[str, Any]:
    source = result.benchmark.source
    return {
        "task": result.benchmark.name,
        "dataset_path": source.hub,
        "dataset_name": source.config,
        "test_split": source.split,
        "output_type": "generate_until",
        "generation_kwargs": {"max_new_tokens": result.benchmark.max_new_tokens, "do_sample": False},
        "marked_like": result.benchmark.like,
    }


def _counts(result: Result) -> dict[str, int]:
    return {"original": len(result.questions.manifest.rows), "effective": len(result.answers)}


def _higher(result: Result) -> dict[str, bool]:
    return {_metric(result): "wer" not in _metric(result)}


def _metric(result: Result) -> str:
    """What lmms-eval calls the metric."""
    return {"wer": "wer", "mean_wer": "wer", "judged": "gpt_eval"}.get(result.benchmark.compatible.metric, "accuracy")


def _marks(result: Result, number: int) -> dict[str, Mark | None]:
    pairs = (("strict", result.strict), ("compatible", result.compatible))
    return {name: evaluation.marks[number] if evaluation else None for name, evaluation in pairs}


def _value(mark: Mark | None) -> float | None:
    """What one answer scored; None without a judge, and for a reference without words."""
    return float(mark.numerator / mark.denominator) if mark and mark.denominator else None


def _rows(result: Result) -> list[dict[str, Any]]:
    rows = []
    for number, (row, answer) in enumerate(zip(result.questions.rows, result.answers, strict=True)):
        marks = _marks(result, number)
        rows.append(
            {
                "model": result.model,
                "identity": result.identity,
                "benchmark": result.benchmark.name,
                "id": row.id,
                "skill": answer.skill,
                "question": answer.question,
                "reference": answer.reference,
                "answer": answer.answer,
                "read_as": result.read[number],
                **{f"{name}_{part}": value for name, mark in marks.items() for part, value in _parts(mark).items()},
                "seconds": row.seconds,
                "audio": answer.audio,
                "audio_tokens": answer.audio_tokens,
                "judge_reply": result.judged.first[number].reply if result.judged else None,
            }
        )
    return rows


def _parts(mark: Mark | None) -> dict[str, float | bool | None]:
    if mark is None:
        return {"numerator": None, "denominator": None, "parsed": None}
    return {"numerator": float(mark.numerator), "denominator": float(mark.denominator), "parsed": bool(mark.parsed)}


def _dumped(data: Mapping[str, Any]) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
