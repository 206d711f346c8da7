"""Which records belong to a run: by the experiment while it trains, by its models when it has ended."""

import os
from datetime import UTC, datetime

import pytest

from coat_ray.registry.licences import Ingredient
from coat_ray.registry.metrics import append_metrics
from coat_ray.registry.models import ModelRegistry
from coat_ray.registry.runs import RunRegistry
from coat_ray.storage import Storage
from coat_ray.tenancy.ledger_tables import RunKind, RunState
from coat_ray.tenancy.runs import Run
from coat_ray.tenancy.scheduling.demand import Resources
from serve.arms import arms_of
from tests.serve.served import CONFIG

BOTH = CONFIG.model_copy(update={"arms": ("sft", "coat")})


@pytest.fixture
def storage(tmp_path):
    return Storage(tmp_path)


def run_of(config, result=None):
    return Run(
        id="trial-00000000", tenant="speech", kind=RunKind.RUN, name=config.name, config=config.model_dump(mode="json"),
        state=RunState.RUNNING, reason="", priority=0, resources=Resources(1, 0), submitted_at=datetime.now(UTC),
        started_at=None, ended_at=None, attempts=1, result=result, ray_job_id=None, again=True,
    )  # fmt: skip


def ids(run, storage):
    return {arm: record.id for arm, record in arms_of(run, storage).items()}


def written_at(runs, record, instant):
    append_metrics(runs.metrics(record.id), {"step": 1})
    for file in (runs.metrics(record.id), runs.folder(record.id) / "record.json"):
        os.utime(file, (instant, instant))


def test_arms_that_have_begun_come_in_the_order_of_training(storage):
    runs = RunRegistry(storage)
    assert ids(run_of(BOTH), storage) == {}
    coat = runs.create(BOTH, "coat")
    assert ids(run_of(BOTH), storage) == {"coat": coat.id}
    sft = runs.create(BOTH, "sft")
    assert list(ids(run_of(BOTH), storage).items()) == [("sft", sft.id), ("coat", coat.id)]
    assert ids(run_of(CONFIG), storage) == {"coat": coat.id}


def test_a_record_that_a_run_continues_is_its_own_though_other_resources_made_it(storage):
    more = CONFIG.model_copy(update={"resources": CONFIG.resources.model_copy(update={"train_workers": 4})})
    record = RunRegistry(storage).create(more, "coat")
    assert record.config != run_of(CONFIG).config
    assert ids(run_of(CONFIG), storage) == {"coat": record.id}


def test_another_experiment_of_the_same_name_is_not(storage):
    runs = RunRegistry(storage)
    runs.create(CONFIG.model_copy(update={"seed": 7}), "coat")
    runs.create(CONFIG.model_copy(update={"name": "other"}), "coat")
    assert ids(run_of(CONFIG), storage) == {}


def test_a_record_of_another_version_of_the_program_is_passed_over(storage):
    runs = RunRegistry(storage)
    record = runs.create(CONFIG, "coat")
    file = runs.folder(record.id) / "record.json"
    file.write_text(file.read_text().replace('"seed"', '"sead"', 1))
    assert ids(run_of(CONFIG), storage) == {}


def test_of_several_the_one_written_last_counts_until_models_say_which(storage, tmp_path):
    runs = RunRegistry(storage)
    older, newer = (runs.create(CONFIG, "coat", {"corpus": text}) for text in ("one", "two"))
    written_at(runs, older, 2_000_000_000)
    written_at(runs, newer, 2_000_000_001)
    assert ids(run_of(CONFIG), storage) == {"coat": newer.id}
    written_at(runs, older, 2_000_000_002)
    assert ids(run_of(CONFIG), storage) == {"coat": older.id}
    (tmp_path / "adapter").mkdir()
    part = Ingredient("expert", "spidr", "MIT", commercial_use=True)
    model = ModelRegistry(storage).add(
        "trial-coat", tmp_path / "adapter", base={}, ingredients=[part], lineage={"run": newer.id}
    )
    assert ids(run_of(CONFIG, {"models": [model.ref]}), storage) == {"coat": newer.id}
    assert ids(run_of(CONFIG, {"models": ["gone@1"]}), storage) == {"coat": older.id}
