"""Trained beside its experts or from their stored targets, a model is the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file

from coat_ray.config import RunConfig
from coat_ray.corpus.builtin import corpus_folder
from coat_ray.corpus.manifest import read_manifest, write_manifest
from coat_ray.registry.metrics import read_metrics
from coat_ray.storage import Storage
from coat_ray.targets.corpus import encode_run, streamed_targets
from coat_ray.targets.store import TargetStore
from coat_ray.training.run import RunResult, train_arm

CLOSE = 1e-5
"""Beside other clips an expert's frames may differ in their last bit."""

CONFIG = {
    "name": "beside",
    "experts": {"sed": {"model": "panns"}, "pitch": {"model": "basic_pitch"}},
    "stages": [{"name": "all", "steps": 3, "weights": {"recon": 1.0, "sed": 1.0, "pitch": 1.0}}],
    "training": {"batch_rows": 4, "checkpoint_every": 3, "log_every": 1},
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve rows of the shipped corpus."""
    folder, shipped = tmp_path_factory.mktemp("corpus"), corpus_folder("soundworld-mini", Storage.default())
    for split, count in (("train", 12), ("validation", 2)):
        manifest = read_manifest(shipped / f"{split}.jsonl")
        rows = manifest.rows[:count]
        write_manifest(
            [row.model_copy(update={"audios": tuple(map(str, map(manifest.resolve, row.audios)))}) for row in rows],
            folder / f"{split}.jsonl",
        )
    return folder


def train(corpus: Path, home: Path, *, streamed: bool) -> tuple[RunResult, Storage]:
    storage = Storage(home)
    config = RunConfig.model_validate(CONFIG | {"resources": {"stream_targets": streamed}})
    report = encode_run(config, corpus, TargetStore(storage.targets))
    opened = streamed_targets if streamed else None
    result = train_arm(
        config, "coat", corpus=corpus, storage=storage, datasets=report.fingerprints, open_targets=opened
    )
    return result, storage


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster")
def test_streamed_targets_train_the_same_model_as_stored_ones(corpus: Path, tmp_path: Path) -> None:
    (stored, full), (streamed, empty) = (train(corpus, tmp_path / str(mode), streamed=mode) for mode in (False, True))
    clips = {split: {row.audios for row in read_manifest(corpus / f"{split}.jsonl").rows} for split in ("train",)}
    assert all(len(dataset) > len(clips["train"]) for dataset in TargetStore(full.targets).datasets())
    assert all(len(dataset) <= 2 for dataset in TargetStore(empty.targets).datasets())  # the validation split
    for name in ("adapter_model.safetensors", "heads.safetensors"):
        left, right = load_file(stored.adapter / name), load_file(streamed.adapter / name)
        assert left.keys() == right.keys()
        for key in (key for key in left if "lora_B" in key):  # from zero, so that the whole of it was learned
            assert (left[key] - right[key]).norm() <= CLOSE * left[key].norm()
    losses = [[line["pitch/mse"] for line in read_metrics(run.folder / "metrics.jsonl")] for run in (stored, streamed)]
    assert losses[0] == pytest.approx(losses[1], rel=CLOSE)
