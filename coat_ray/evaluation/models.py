"""The evaluation of several models on one split of a corpus: what ``coat evaluate`` and ``jobs/evaluate.py`` call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar

from coat_ray.config import BackboneConfig, RunConfig
from coat_ray.corpus.builtin import corpus_folder
from coat_ray.corpus.manifest import read_manifest
from coat_ray.evaluation.asking.answerers import ModelAnswerer
from coat_ray.evaluation.asking.answers import EvaluationError, Progress
from coat_ray.evaluation.run import evaluate
from coat_ray.evaluation.scores import Evaluation
from coat_ray.registry.models import BASE, ModelRegistry
from coat_ray.storage import DEFAULT_TENANT, Storage

if TYPE_CHECKING:
    import torch

    from coat_ray.model.generate import Generator

SPLITS = ("train", "validation", "test")


def evaluate_models(
    names: Sequence[str],
    config: RunConfig,
    storage: Storage,
    *,
    split: str = "test",
    treatment: str = "trained",
    open_model: Callable[[str], Generator] | None = None,
) -> list[Evaluation]:
    """Evaluate models one after the other, with a progress bar; an interrupted evaluation continues.

    Args:
        names: ``base``, a model's name or alias, or ``name@version``; also their names in the report.
        config: whose corpus is asked, with the limits of its section ``evaluation``; its backbone is ``base``.
        storage: where the corpus is unpacked, models are registered and answers are kept.
        split: train, validation or test.
        treatment: how the block of every model that has one is treated, as ``BlockTreatment`` names it.
        open_model: loads one model; default: from the registry, treated so.

    Raises:
        EvaluationError: no model, the same one twice, no such split, or an evaluation that cannot go on.
        ModelNotFound: a name that the registry does not know.
        ManifestError, AudioError: the corpus is not there, or broken.
    """
    registry = ModelRegistry(storage)
    _check(names, split, registry if open_model is None else None)
    open_model = open_model or (lambda name: open_generator(name, config.backbone, registry, treatment))
    manifest = read_manifest(corpus_folder(config.corpus.name, storage) / f"{split}.jsonl")
    folder = storage.root / "evaluations" / DEFAULT_TENANT / f"{split}-{manifest.fingerprint[:12]}"
    evaluations = []
    for name in names:
        answerer = ModelAnswerer(open_model(name), manifest.resolve)
        identity = answerer.identity()
        with progress_bar(f"evaluate {name}") as progress:
            evaluation = evaluate(
                answerer,
                manifest.rows,
                folder / f"{name}-{identity[:12]}.jsonl",
                model=name,
                identity=identity,
                config=config.evaluation,
                progress=progress,
            )
        evaluations.append(evaluation)
        del answerer  # before the next one is opened
    return evaluations


def open_generator(
    name: str,
    backbone: BackboneConfig,
    registry: ModelRegistry,
    treatment: str = "trained",
    device: torch.device | None = None,
) -> Generator:
    """Load a model by name, onto a device as ``open_model``, and answer with it, its block treated so."""
    from coat_ray.model.interventions import BlockTreatment  # noqa: PLC0415 - heavy, and not needed to refuse a name
    from coat_ray.model.opening import open_model  # noqa: PLC0415

    return open_model(name, backbone, registry, device).generator(BlockTreatment(treatment))


def check_names(names: Sequence[str]) -> None:
    """Refuse no model, and the same one twice.

    Raises:
        EvaluationError: either of them.
    """
    if not names or len(set(names)) != len(names):
        raise EvaluationError(f"name at least one model, and each once; found {', '.join(names) or 'none'}")


def _check(names: Sequence[str], split: str, registry: ModelRegistry | None) -> None:
    """Refuse a request that must fail before anything heavy is loaded."""
    check_names(names)
    if split not in SPLITS:
        raise EvaluationError(f"no split {split!r}; there are {', '.join(SPLITS)}")
    for name in names:
        if registry and name != BASE:
            registry.resolve(name)


@contextmanager
def progress_bar(description: str) -> Iterator[Progress]:
    """A bar on the terminal; gives the function that moves it."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with ProgressBar(*columns) as bar:
        task = bar.add_task(description, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
