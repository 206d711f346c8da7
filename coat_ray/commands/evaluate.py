"""``coat evaluate``: held-out scores of models side by side, on a corpus of one's own and on published benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coat_ray.commands.output import Overrides


def evaluate(
    config: Annotated[Path, typer.Argument(help="YAML of the run: corpus, backbone, limits.", metavar="FILE")],
    overrides: Overrides = None,
    *,
    model: Annotated[
        list[str], typer.Option("--model", help="base, a name or alias, name@version, owner/name; repeatable.")
    ],
    benchmark: Annotated[
        list[str] | None,
        typer.Option("--benchmark", help="soundworld (the corpus of FILE, default), mmau, …; repeatable. See docs."),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the benchmarks' data.")] = None,
    split: Annotated[str, typer.Option(help="Of the corpus: train, validation or test.")] = "test",
    block: Annotated[
        str,
        typer.Option(help="How a model's block is treated: trained, removed, untrained, shuffled, exchanged, alone."),
    ] = "trained",
    minus: Annotated[str | None, typer.Option(help="Also show every other model's difference to this one.")] = None,
    server: Annotated[
        str | None, typer.Option(help="Address of an OpenAI-compatible server that answers; key: $COAT_API_KEY.")
    ] = None,
    actors: Annotated[int, typer.Option(min=0, help="Copies of each model, through Ray Data; 0: in here.")] = 0,
    judge: Annotated[
        list[str] | None,
        typer.Option("--judge", help="MODEL@ADDRESS of a judge; twice for agreement. Key: $COAT_JUDGE_API_KEY."),
    ] = None,
    allow_leaks: Annotated[
        bool, typer.Option("--allow-leaks", help="Score although training saw a test clip.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(help="Folder for report.html, report.md, report.json and the samples.")
    ] = None,
) -> None:
    """Ask models the questions of a held-out split and print their scores with confidence intervals."""
    from coat_ray.evaluation.benchmarks import PUBLIC  # noqa: PLC0415 - `coat --help` must be instant
    from coat_ray.evaluation.request import EvaluationRequest, evaluate_request  # noqa: PLC0415
    from coat_ray.model.interventions import BlockTreatment  # noqa: PLC0415

    if minus and minus not in model:
        raise typer.BadParameter(f"{minus} is not among the models; add --model {minus}", param_hint="--minus")
    if block not in list(BlockTreatment):
        raise typer.BadParameter(f"{block!r} is none of {', '.join(BlockTreatment)}", param_hint="--block")
    names = benchmark or ["soundworld"]
    if data and not set(names) & set(PUBLIC):
        raise typer.BadParameter("no published benchmark is asked; name one with --benchmark", param_hint="--data")
    evaluate_request(
        EvaluationRequest(
            config=config,
            overrides=overrides or [],
            models=model,
            benchmarks=names,
            data=data,
            split=split,
            block=block,
            minus=minus,
            server=server,
            actors=actors,
            judges=judge or [],
            allow_leaks=allow_leaks,
            report=report,
        )
    )
