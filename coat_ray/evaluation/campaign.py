"""Several models on several published benchmarks: what ``coat evaluate --benchmark`` runs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from coat_ray.config import RunConfig
from coat_ray.corpus.builtin import corpus_folder
from coat_ray.corpus.manifest import Manifest, read_manifest
from coat_ray.evaluation.asking.answerers import ModelAnswerer
from coat_ray.evaluation.asking.answers import EvaluationError
from coat_ray.evaluation.asking.chat import ChatEndpoint
from coat_ray.evaluation.asking.pools import LoadedAnswerer, RayPool
from coat_ray.evaluation.asking.server import KEY as SERVER_KEY
from coat_ray.evaluation.asking.server import ServerAnswerer
from coat_ray.evaluation.benchmarks import BENCHMARKS, PUBLIC
from coat_ray.evaluation.marking.judge import Judge
from coat_ray.evaluation.models import check_names, open_generator, progress_bar
from coat_ray.evaluation.suite import Questions, Result, answer_questions, mark_answers, prepare
from coat_ray.model.devices import device_of, usable_device
from coat_ray.provenance import fingerprint
from coat_ray.registry.models import BASE, ModelRegistry
from coat_ray.storage import DEFAULT_TENANT, Storage

if TYPE_CHECKING:
    from coat_ray.model.generate import Generator


@dataclass(frozen=True)
class Campaign:
    """What is run.

    Args:
        models: names as ``evaluate_models`` takes them; with *server*, names of models there.
        benchmarks: names of ``PUBLIC``.
        data: folder of the data; see ``benchmark_data``.
        server: base address of an OpenAI-compatible server that answers instead of a model in this process.
        actors: copies of each model, through Ray Data, each with the CPUs and GPUs of one train worker; 0 answers in
            this process.
        treatment: of the block, as ``BlockTreatment`` names it.
        judges: the judge, and a second one for agreement.
        allow_leaks: score although training has seen a test clip.
    """

    models: Sequence[str]
    benchmarks: Sequence[str]
    data: Path | None = None
    server: str | None = None
    actors: int = 0
    treatment: str = "trained"
    judges: Sequence[Judge] = ()
    allow_leaks: bool = False


def run_campaign(campaign: Campaign, config: RunConfig, storage: Storage) -> list[Result]:
    """Check everything, then ask every model; an interrupted campaign continues.

    Args:
        campaign: what is run.
        config: limits, the backbone that is ``base``, and the corpus whose training split must hold no test clip.
        storage: models, answers, and what is known of clips.

    Returns:
        Results, model by model, in the order of the benchmarks.

    Raises:
        EvaluationError: a benchmark that there is not, a leak, a clip that was not heard, a server that fails.
        ManifestError: data that are missing or in another schema; the message says how to obtain them.
        ModelNotFound: a name that the registry does not know.
    """
    _check(campaign, storage)
    trained_on = None if campaign.server else _training_split(config, storage)
    questions = [
        prepare(
            PUBLIC[name],
            campaign.data,
            storage,
            trained_on=trained_on,
            max_rows=config.evaluation.max_rows_per_task,
            allow_leaks=campaign.allow_leaks,
            watch=progress_bar,
        )
        for name in campaign.benchmarks
    ]
    return [result for model in campaign.models for result in _evaluate(model, questions, campaign, config, storage)]


def _check(campaign: Campaign, storage: Storage) -> None:
    """Refuse what must fail before anything heavy is done, and what would be no answer to the question."""
    check_names(campaign.models)
    if campaign.server and campaign.treatment != "trained":
        raise EvaluationError(
            f"--block {campaign.treatment} changes a model in this process; a server answers with its block as it was "
            "trained, and its score would be no ablation: leave out --server or --block"
        )
    for name in campaign.benchmarks:
        if name not in PUBLIC:
            raise EvaluationError(f"no benchmark {name!r}; there are {', '.join((*BENCHMARKS, *PUBLIC))}")
    for name in campaign.models:
        if not campaign.server and name != BASE:
            ModelRegistry(storage).resolve(name)


def _training_split(config: RunConfig, storage: Storage) -> Manifest:
    return read_manifest(corpus_folder(config.corpus.name, storage) / "train.jsonl")


def _evaluate(
    model: str, questions: Sequence[Questions], campaign: Campaign, config: RunConfig, storage: Storage
) -> list[Result]:
    load, each = _Loader(model, campaign, config, storage), config.resources
    gpus = 0 if campaign.server else each.gpus_per_worker
    answerers: list[RayPool | LoadedAnswerer] = [
        RayPool(partial(load, asked.manifest), campaign.actors, each.cpus_per_worker, gpus)
        if campaign.actors
        else load(asked.manifest)
        for asked in questions
    ]
    identity = answerers[0].identity()  # of the model alone; it reads every weight
    results = []
    for asked, answerer in zip(questions, answerers, strict=True):
        label = f"{asked.benchmark.name}-{fingerprint(list(asked.rows))[:12]}"
        name = fingerprint([model, identity])[:12]
        path = storage.root / "evaluations" / DEFAULT_TENANT / label / f"{model.replace('/', '__')}-{name}.jsonl"
        with progress_bar(f"{asked.benchmark.name}: {model}") as progress:
            answers = answer_questions(
                answerer,
                asked,
                path,
                identity=identity,
                batch_rows=config.evaluation.batch_rows,
                progress=progress,
            )
        judges = campaign.judges if asked.benchmark.judge else ()
        with progress_bar(f"judge {asked.benchmark.name}") if judges else nullcontext() as progress:
            results.append(mark_answers(model, identity, asked, answers, judges=judges, progress=progress))
    return results


class _Loader:
    """Makes answerers of one model for different data; the model is opened once in a process. Can be sent to actors."""

    def __init__(self, model: str, campaign: Campaign, config: RunConfig, storage: Storage) -> None:
        self.model, self.server, self.treatment = model, campaign.server, campaign.treatment
        self.backbone, self.storage = config.backbone, storage
        self.device = device_of(config.resources.gpus_per_worker) if campaign.actors else usable_device()
        self._generator: Generator | None = None

    def __call__(self, manifest: Manifest) -> LoadedAnswerer:
        if self.server:
            return ServerAnswerer(ChatEndpoint(self.server, SERVER_KEY), self.model, manifest.resolve)
        if self._generator is None:
            registry = ModelRegistry(self.storage)
            self._generator = open_generator(self.model, self.backbone, registry, self.treatment, self.device)
        return ModelAnswerer(self._generator, manifest.resolve)
