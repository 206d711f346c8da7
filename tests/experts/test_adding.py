"""Adding an expert is one file, one registry line and a configuration: chroma.py is encoded, trained with and shown."""

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from coat_ray.config import ExpertConfig, RunConfig, load_config
from coat_ray.corpus.manifest import Message, Row, write_manifest
from coat_ray.experts import drawing
from coat_ray.experts.catalogue import entry
from coat_ray.experts.registry import EXPERTS, load_expert
from coat_ray.registry.metrics import read_metrics
from coat_ray.registry.models import ModelRegistry
from coat_ray.storage import Storage
from coat_ray.targets.corpus import encode_run
from coat_ray.targets.store import TargetStore
from coat_ray.training.run import train_arm
from tests.experts.chroma import NAMES

LINE = {"chroma": "tests.experts.chroma:Chroma"}
CONFIG = """
name: chroma
backbone: {{weights: embedded}}
corpus: {{name: {corpus}}}
experts:
  tonality: {{model: chroma}}
stages:
  - {{name: all, steps: 6, weights: {{recon: 0.1, tonality: 1.0}}}}
optim: {{head_lr: 1.0e-2}}
training: {{batch_rows: 4, checkpoint_every: 6, log_every: 1}}
resources: {{train_workers: 2}}
"""


def load(config: ExpertConfig, device: str = "cpu"):
    """What every actor loads with: the registry with one line more."""
    EXPERTS.update(LINE)
    return load_expert(config, device)


def note(name: str) -> np.ndarray:
    hertz = 261.63 * 2 ** (NAMES.index(name) / 12)
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(16_000) / 16_000)).astype(np.float32)


@pytest.fixture
def config(tmp_path):
    for split in ("train", "validation", "test"):
        rows = []
        for name in NAMES if split == "train" else NAMES[:1]:
            soundfile.write(tmp_path / f"{split}-{name}.flac", note(name), 16_000)
            asked = Message(role="user", content="<audio>\nwhich note is heard?")
            answered = Message(role="assistant", content=name.lower())
            uri = f"{split}-{name}.flac"
            rows.append(Row(id=uri, messages=(asked, answered), audios=(uri,), task="music", licence="CC0-1.0"))
        write_manifest(rows, tmp_path / f"{split}.jsonl")
    path = tmp_path / "chroma.yaml"
    path.write_text(CONFIG.format(corpus=tmp_path))
    return load_config(path, RunConfig)


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    for name, place in LINE.items():
        monkeypatch.setitem(EXPERTS, name, place)


@pytest.mark.parametrize("name", NAMES)
def test_the_new_expert_hears_the_note_that_sounds(name):
    (frames,) = load(ExpertConfig(model="chroma")).encode([note(name)])
    assert NAMES[frames.mean(0).argmax()] == name


def test_the_new_expert_is_listed_and_drawn():
    found = entry("chroma")
    assert (found.spec.width, found.path, found.size) == (12, None, None)
    (panel,) = drawing.panels_of(load(ExpertConfig(model="chroma")), note("A"))
    assert panel.title == "chroma: activations of 12 channels"


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster")
def test_a_model_trains_with_the_new_expert(config, coat_home, tmp_path):
    storage = Storage(coat_home)
    report = encode_run(config, tmp_path, TargetStore(storage.targets), load=load)
    assert report.experts["tonality"].present == len(NAMES)
    datasets = {"tonality": report.experts["tonality"].fingerprint}

    result = train_arm(config, "coat", corpus=tmp_path, storage=storage, datasets=datasets)

    lines = read_metrics(result.folder / "metrics.jsonl")
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert all(line["tonality/grad"] > 0 for line in lines)
    assert lines[-1]["tonality/mse"] < 0.8 * lines[0]["tonality/mse"]
    assert "ISC" in ModelRegistry(storage).resolve(result.model).licence


def test_the_configurations_in_the_document_are_configurations():
    text = (Path(__file__).parents[2] / "docs" / "experts.md").read_text()
    blocks = re.findall(r"^```yaml\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    roles = [set(RunConfig.model_validate({"name": "shown", **yaml.safe_load(block)}).experts) for block in blocks]
    assert roles == [{"codec"}, {"tonality"}]
