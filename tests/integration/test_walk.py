"""One walk through the whole house: clips, teachers, targets, two arms, comparison, registry, a question."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from coat_ray.config import BackboneConfig, RunConfig, load_config
from coat_ray.corpus.builtin import corpus_folder
from coat_ray.corpus.manifest import read_manifest, write_manifest
from coat_ray.model.asking import ask
from coat_ray.model.opening import open_model
from coat_ray.registry.models import ModelRegistry
from coat_ray.registry.runs import RunRegistry
from coat_ray.storage import Storage
from jobs.train import run

ROOT = Path(__file__).parents[2]
ROWS = {"train": 24, "validation": 6, "test": 16}


@pytest.fixture
def corpus(coat_home, tmp_path):
    """A corner of the shipped corpus: every n-th row, so that all task groups are there."""
    shipped = corpus_folder("soundworld-mini", Storage(coat_home))
    for split, count in ROWS.items():
        manifest = read_manifest(shipped / f"{split}.jsonl")
        rows = manifest.rows[:: len(manifest.rows) // count][:count]
        near = [row.model_copy(update={"audios": tuple(str(manifest.resolve(u)) for u in row.audios)}) for row in rows]
        write_manifest(near, tmp_path / f"{split}.jsonl")
    return tmp_path


@pytest.fixture
def config(corpus):
    stages = (
        "[{name: one, steps: 2, weights: {recon: 1}}, {name: two, steps: 2, weights: {recon: 1, pitch: 1, sed: 1}}]"
    )
    overrides = ["training.batch_rows=4", "evaluation.disturbed_rows_per_task=1", "corpus.mixture=null"]
    overrides += [f"corpus.name={corpus}", f"stages={stages}", "resources.encode_actors=1"]
    return load_config(ROOT / "jobs/configs/embedded.yaml", RunConfig, overrides)


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster")
def test_a_run_ends_with_a_comparison_and_models_that_answer_and_starts_only_once(config, coat_home, corpus):
    storage, console = Storage(coat_home), Console(record=True, width=200)
    results = run(config, storage, console)

    report = json.loads((results[-1].folder / "report.json").read_text())
    assert set(report) == {"scores", "skills", "coat_distillation", "coat_block"}
    assert list(report["scores"]["models"]) == ["base", "sft", "coat"]
    assert {key.split()[0] for key in report["coat_distillation"]} == {
        "recon", "speech", "sed", "paralinguistic", "pitch",
    }  # fmt: skip
    assert all(entry["constant"] > 0 for entry in report["coat_distillation"].values())
    assert "each expert in the block" in console.export_text()

    records = {record.alias: record for record in ModelRegistry(storage).list()}
    assert set(records) == {"sft", "coat"}
    assert records["coat"].scores
    assert [r.state for r in RunRegistry(storage).list()] == ["done", "done"]

    uncompared = config.model_copy(update={"evaluation": config.evaluation.model_copy(update={"compare": False})})
    again = run(uncompared, storage, Console(quiet=True))
    assert [r.run_id for r in again] == [r.run_id for r in results]
    assert len(ModelRegistry(storage).list()) == 2

    clip = next(row.audios[0] for row in read_manifest(corpus / "test.jsonl").rows if row.audios)
    model = open_model("coat", BackboneConfig(), ModelRegistry(storage))
    reply = ask(model, "Which sound is heard?", Path(clip), thinking=True)
    assert reply.block_length > 10
    assert set(reply.thinking) == {"speech", "sed", "paralinguistic", "pitch"}
    assert all(reading.summary for reading in reply.thinking.values())
    assert ask(model, "Which sound is heard?", Path(clip), block=False).block_length == 0
