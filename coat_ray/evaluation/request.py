"""One request to evaluate, as ``coat evaluate`` and ``jobs/evaluate.py`` take it: run it, show it, write the report."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from coat_ray.cluster import connect
from coat_ray.config import RunConfig, load_config
from coat_ray.corpus.builtin import corpus_folder
from coat_ray.corpus.manifest import read_manifest
from coat_ray.evaluation.asking.answers import EvaluationError
from coat_ray.evaluation.asking.chat import ChatEndpoint
from coat_ray.evaluation.benchmarks import BENCHMARKS, PUBLIC
from coat_ray.evaluation.campaign import Campaign, run_campaign
from coat_ray.evaluation.marking.judge import KEY, Judge
from coat_ray.evaluation.models import evaluate_models
from coat_ray.evaluation.reports.evaluation_report import Found
from coat_ray.storage import Storage

log = logging.getLogger(__name__)
LOG_WIDTH = 200
"""Columns of tables where no terminal says how wide it is."""


MOST_NAMED = 4
"""Benchmarks that a title names."""


@dataclass(frozen=True)
class EvaluationRequest:
    """What somebody asked for; see ``coat evaluate --help``."""

    config: Path
    models: Sequence[str]
    overrides: Sequence[str] = ()
    benchmarks: Sequence[str] = ("soundworld",)
    data: Path | None = None
    split: str = "test"
    block: str = "trained"
    minus: str | None = None
    server: str | None = None
    actors: int = 0
    judges: Sequence[str] = ()
    allow_leaks: bool = False
    report: Path | None = None


def evaluate_request(request: EvaluationRequest, storage: Storage | None = None) -> Found:
    """Evaluate, print the tables and, where asked, write the report.

    Raises:
        EvaluationError, ManifestError, ModelNotFound, AudioError: see ``run_campaign`` and ``evaluate_models``.
        ValueError: the configuration.
    """
    storage = storage or Storage.default()
    config = load_config(request.config, RunConfig, list(request.overrides))
    if request.minus and request.minus not in request.models:
        raise EvaluationError(f"--minus {request.minus} is not among the models; add --model {request.minus}")
    found = _evaluated(request, config, storage)
    console = Console()
    if not console.is_terminal:
        console.width = LOG_WIDTH
    for table in found.tables().values():
        console.print(table.to_rich())
    if request.report:
        page, *others = found.write(request.report)
        console.print(f"report: {page}, and {', '.join(path.name for path in others)} beside it", soft_wrap=True)
    return found


def _evaluated(request: EvaluationRequest, config: RunConfig, storage: Storage) -> Found:
    for line in without_effect(request):
        log.warning("%s", line)
    own = [name for name in request.benchmarks if name in BENCHMARKS]
    public = [name for name in request.benchmarks if name not in BENCHMARKS]
    judges = [judge_of(text, storage) for text in request.judges]
    if own and request.server:
        raise EvaluationError(f"{own[0]} is asked of models here; with --server name published benchmarks only")
    results = []
    if public:
        campaign = Campaign(
            models=request.models,
            benchmarks=public,
            data=request.data,
            server=request.server,
            actors=request.actors,
            treatment=request.block,
            judges=judges,
            allow_leaks=request.allow_leaks,
        )
        with connect() if request.actors else nullcontext():
            results = run_campaign(campaign, config, storage)
    if not own:
        facts = [("judges", ", ".join(request.judges))] if judges else []
        return Found(_title(public), results=results, reference=request.minus, facts=facts)
    evaluations = evaluate_models(request.models, config, storage, split=request.split, treatment=request.block)
    manifest = read_manifest(corpus_folder(config.corpus.name, storage) / f"{request.split}.jsonl")
    title = f"{config.corpus.name}, {request.split}"
    return Found(title, evaluations, manifest, results, request.minus)


def without_effect(request: EvaluationRequest) -> list[str]:
    """A sentence for each option that was given and changes nothing."""
    own = [name for name in request.benchmarks if name in BENCHMARKS]
    public = [PUBLIC[name] for name in request.benchmarks if name in PUBLIC]
    found = []
    if request.allow_leaks and (request.server or not public):
        why = "no published benchmark is asked"
        if request.server:
            why = "what a server's models were trained on is not known here"
        found.append(f"--allow-leaks has no effect: {why}")
    if request.split != "test" and not own:
        found.append(f"--split {request.split} has no effect: published benchmarks have one split each")
    if request.actors and own:
        found.append(f"--actors {request.actors} has no effect on {own[0]}, which is asked in this process")
    if request.judges and not any(benchmark.judge for benchmark in public):
        found.append("--judge has no effect: no benchmark that is asked needs a judge")
    return found


def _title(benchmarks: Sequence[str]) -> str:
    return ", ".join(benchmarks) if len(benchmarks) <= MOST_NAMED else f"{len(benchmarks)} published benchmarks"


def judge_of(text: str, storage: Storage) -> Judge:
    """The judge that ``MODEL@ADDRESS`` names.

    Raises:
        EvaluationError: not of that form.
    """
    model, at, url = text.rpartition("@")
    if not at or not model or not url.startswith(("http://", "https://")):
        raise EvaluationError(f"a judge is MODEL@ADDRESS, such as judge@http://127.0.0.1:8000/v1, not {text!r}")
    return Judge(ChatEndpoint(url, KEY), model, storage.cache / "judgements")
