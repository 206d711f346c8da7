"""From a run of the ledger to the records that its job writes, one for each arm."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import ValidationError

from coat_ray.config import RunConfig
from coat_ray.registry.models import ModelNotFound, ModelRegistry
from coat_ray.registry.runs import RunDamaged, RunNotFound, RunRecord, RunRegistry, identity
from coat_ray.storage import Storage
from coat_ray.tenancy.ledger_tables import RunKind
from coat_ray.tenancy.runs import Run


def arms_of(run: Run, storage: Storage) -> dict[str, RunRecord]:
    """Arm -> record, in the order in which the arms are trained, as far as they have begun.

    Args:
        run: as the ledger knows it.
        storage: its tenant's.

    What a run has registered names its records. Before, they are those of the same name and experiment: a job may have
    found a record of an earlier run and continue it, whose configuration differs in what does not change a result. Of
    several, made from other corpora or targets, the one written last is it. A sweep has none: its trials have.
    """
    if run.kind is RunKind.SWEEP:
        return {}
    registry = RunRegistry(storage)
    found = {record.arm: record for record in _by_experiment(run, registry)}
    found |= {record.arm: record for record in _by_model(run, registry, ModelRegistry(storage))}
    return {arm: found[arm] for arm in run.config.get("arms", found) if arm in found}


def _by_experiment(run: Run, registry: RunRegistry) -> Iterator[RunRecord]:
    """Records of the run's experiment, the one that was written last at the end."""
    wanted = RunConfig.model_validate(run.config)
    same = [record for record in registry.list() if record.name == run.name and _is(record, wanted)]
    yield from sorted(same, key=lambda record: _written(registry, record))


def _by_model(run: Run, registry: RunRegistry, models: ModelRegistry) -> Iterator[RunRecord]:
    for ref in (run.result or {}).get("models", ()):
        try:
            yield registry.find(str(models.resolve(str(ref)).lineage["run"]))
        except (ModelNotFound, RunDamaged, RunNotFound, KeyError):  # removed since, or never what it says
            continue


def _is(record: RunRecord, wanted: RunConfig) -> bool:
    try:
        config = RunConfig.model_validate(record.config)
    except ValidationError:  # of another version of this program
        return False
    return identity(config, record.arm) == identity(wanted, record.arm)


def _written(registry: RunRegistry, record: RunRecord) -> float:
    """When its metrics, or else its record, were written."""
    files = (registry.metrics(record.id), registry.folder(record.id) / "record.json")
    return max((file.stat().st_mtime for file in files if file.is_file()), default=0.0)
