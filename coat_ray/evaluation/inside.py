"""Whether the block carries anything: what it holds of each expert, and what answers lose when it is disturbed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from coat_ray.config import EvaluationConfig, RunConfig
from coat_ray.corpus.manifest import Manifest, read_manifest
from coat_ray.evaluation.distillation import distillation
from coat_ray.evaluation.models import evaluate_models
from coat_ray.evaluation.reports.report import Distillation
from coat_ray.evaluation.scores import Evaluation
from coat_ray.model.batch import Batch
from coat_ray.model.interventions import BlockTreatment
from coat_ray.model.opening import OpenModel
from coat_ray.storage import Storage
from coat_ray.targets.store import TargetStore
from coat_ray.training.batches import Collator

CONDITIONS: dict[str, BlockTreatment] = {
    "as trained": BlockTreatment.TRAINED,
    "block removed": BlockTreatment.REMOVED,
    "tokens untrained": BlockTreatment.UNTRAINED,
    "block shuffled": BlockTreatment.SHUFFLED,
    "another clip's block": BlockTreatment.EXCHANGED,
    "audio hidden from the answer": BlockTreatment.ALONE,
}


def held_out_distillation(
    opened: OpenModel, manifest_path: Path, fingerprints: Mapping[str, str], storage: Storage, batch_rows: int = 32
) -> dict[str, Distillation]:
    """Each head's loss on the clips of one manifest, every clip once, beside the best constant.

    Args:
        opened: a model trained with a block.
        manifest_path: a split that training did not see and whose targets are stored.
        fingerprints: role -> target dataset in the store.
        storage: where the store is.
        batch_rows: clips in a batch.
    """
    assert opened.coat is not None
    manifest, store = read_manifest(manifest_path), TargetStore(storage.targets)
    datasets = {role: store.dataset(fingerprint) for role, fingerprint in fingerprints.items()}
    collator = Collator(manifest, opened.backbone.front, datasets, block=True)
    return distillation(opened.coat, list(_clip_batches(collator, manifest, tuple(fingerprints), batch_rows)))


def _clip_batches(collator: Collator, manifest: Manifest, roles: tuple[str, ...], batch_rows: int) -> Iterator[Batch]:
    one_per_clip = {row.audios: row for row in manifest.rows if row.audios}
    ids = [row.id for row in sorted(one_per_clip.values(), key=lambda row: row.seconds or 0)]
    for start in range(0, len(ids), batch_rows):
        yield collator(ids[start : start + batch_rows], roles)


def disturbed_block(opened: OpenModel, config: RunConfig, storage: Storage) -> dict[str, Evaluation]:
    """The same model and questions under each treatment of the block; a subset of the test questions."""
    limits = EvaluationConfig(
        **config.evaluation.model_dump() | {"max_rows_per_task": config.evaluation.disturbed_rows_per_task}
    )
    evaluations = evaluate_models(
        list(CONDITIONS),
        config.model_copy(update={"evaluation": limits}),
        storage,
        open_model=lambda label: opened.generator(CONDITIONS[label]),
    )
    return {evaluation.model: evaluation for evaluation in evaluations}
