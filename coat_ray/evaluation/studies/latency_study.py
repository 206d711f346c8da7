"""The latency study from a model's name to tables: what ``coat latency`` calls."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from coat_ray.config import BackboneConfig, RunConfig
from coat_ray.corpus.builtin import corpus_folder
from coat_ray.corpus.manifest import read_manifest
from coat_ray.evaluation.asking.answers import EvaluationError
from coat_ray.evaluation.models import progress_bar
from coat_ray.evaluation.reports.report import Table, write_report
from coat_ray.evaluation.studies import latency, latency_report
from coat_ray.inference.adapter_files import trained_with_block
from coat_ray.inference.engine import Engine
from coat_ray.inference.limits import EngineLimits
from coat_ray.inference.requests import AdapterSource
from coat_ray.model.backbones import load_backbone
from coat_ray.model.devices import usable_device
from coat_ray.registry.models import BASE, ModelRegistry
from coat_ray.storage import Storage, atomic_write

ONE_AT_A_TIME = EngineLimits(rows=1, waiting=1, heard_bytes=0)


@dataclass(frozen=True)
class LatencyStudy:
    """What was measured, on which model."""

    model: str
    base: BackboneConfig
    plan: latency.LatencyPlan
    cost: latency.PrefillCost
    measurements: list[latency.Measurement]

    def tables(self) -> dict[str, Table]:
        """The paper's two, and the block beside its bound."""
        measured = (self.measurements, self.plan)
        return {
            "latency_by_model": latency_report.model_table(*measured),
            "latency_by_duration": latency_report.range_table(*measured),
            "latency_bound": latency_report.bound_table(*measured, self.cost),
        }

    def write(self, folder: Path) -> list[Path]:
        """``latency.md``, ``latency.json``, every measurement in ``latency-measurements.json``, and a plot."""
        report = write_report(folder, self.tables(), "latency")
        raw, picture = folder / "latency-measurements.json", folder / "latency.png"
        facts = {"model": self.model, "base": self.base.model_dump()}
        data = facts | latency.to_json(self.plan, self.measurements, self.cost)
        atomic_write(raw, json.dumps(data, indent=1) + "\n")
        latency_report.plot(self.measurements, self.plan, picture)
        return [*report, raw, picture]


def study_latency(model: str, config: RunConfig, storage: Storage, plan: latency.LatencyPlan) -> LatencyStudy:
    """Measure the base of *model*, the model, and the base reasoning in text, on clips of the corpus' test split.

    Raises:
        EvaluationError: *model* has no block.
        ModelNotFound: a name that the registry does not know.
        ManifestError, AudioError: the corpus is not there, or broken.
        RequestRefused: clips as long as the plan wants do not fit into the base's context.
    """
    registry = ModelRegistry(storage)
    if model == BASE:
        raise EvaluationError("the base has no block whose cost could be measured; name a model trained with one")
    record = registry.resolve(model)
    folder = registry.adapter_folder(record)
    if not trained_with_block(folder):
        raise EvaluationError(f"{record.ref} was trained without a block; name a model trained with one")
    base = BackboneConfig(**record.base)
    backbone = load_backbone(base).to(usable_device())
    cost = latency.PrefillCost.of(backbone)
    manifest = read_manifest(corpus_folder(config.corpus.name, storage) / "test.jsonl")
    clips = latency.ClipMaker(manifest, backbone.front.sample_rate)
    arms = latency.arms_of(AdapterSource.of(record, folder))
    with Engine(backbone, base, ONE_AT_A_TIME) as engine, progress_bar(f"latency {record.ref}") as progress:
        measurements = latency.measure(engine, arms, clips, plan, progress)
    return LatencyStudy(record.ref, base, plan, cost, measurements)
