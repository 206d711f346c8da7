"""The comparison that a run ends with: base and arms on the same questions, and whether the block works."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from coat_ray.config import RunConfig
from coat_ray.corpus.builtin import corpus_folder
from coat_ray.evaluation.inside import disturbed_block, held_out_distillation
from coat_ray.evaluation.models import evaluate_models
from coat_ray.evaluation.reports.report import Table, ablation_table, distillation_table, score_table, skill_table
from coat_ray.inference.adapter_files import trained_with_block
from coat_ray.model.opening import OpenModel, open_model
from coat_ray.registry.models import BASE, ModelRegistry
from coat_ray.storage import Storage

VALIDATION = "validation.jsonl"
TARGETS = "targets/"
"""Prefix of the parents that are target datasets, in a model's lineage."""


def compare_arms(
    config: RunConfig, models: Mapping[str, str], storage: Storage, device: torch.device
) -> dict[str, Table]:
    """Evaluate the base and each arm, record the scores with the models, and look inside the block.

    Args:
        config: the run.
        models: arm -> ``name@version``, in the order of training; each is compared with those before it.
        storage: corpus, targets, models, and where answers are kept: an interrupted comparison continues.
        device: where the models run.
    """
    registry, refs = ModelRegistry(storage), {BASE: BASE, **models}

    def opened(name: str) -> OpenModel:  # one at a time: a GPU has room for one
        return open_model(refs[name], config.backbone, registry, device)

    evaluations = evaluate_models(list(refs), config, storage, open_model=lambda name: opened(name).generator())
    for evaluation in evaluations[1:]:
        record = registry.resolve(models[evaluation.model])
        registry.update(record, scores={evaluation.benchmark: evaluation.to_json()})
    *before, last = refs
    tables = {
        "scores": score_table(evaluations, [(last, other) for other in before]),
        "skills": skill_table(evaluations),
    }
    for arm, ref in models.items():
        record = registry.resolve(ref)
        if trained_with_block(registry.adapter_folder(record)):
            tables |= _inside(arm, opened(arm), config, record.lineage["parents"], storage)
    return tables


def _inside(
    arm: str, opened: OpenModel, config: RunConfig, parents: Mapping[str, str], storage: Storage
) -> dict[str, Table]:
    fingerprints = {key.removeprefix(TARGETS): value for key, value in parents.items() if key.startswith(TARGETS)}
    validation = corpus_folder(config.corpus.name, storage) / VALIDATION
    experts = held_out_distillation(opened, validation, fingerprints, storage)
    return {
        f"{arm}_distillation": distillation_table(experts, f"{arm}: each expert in the block, held-out clips"),
        f"{arm}_block": ablation_table(
            disturbed_block(opened, config, storage), f"{arm}: the same model with its block disturbed, in % [95 %]"
        ),
    }
