"""The encode job from its command line to its table."""

import numpy as np
import pytest
import soundfile

from coat_ray.corpus.manifest import Message, Row, write_manifest
from coat_ray.storage import Storage
from coat_ray.targets.store import TargetStore
from jobs import encode

CONFIG = """
name: toy
corpus: {{name: {corpus}}}
experts: {{speech: {{model: spidr}}}}
stages: [{{name: all, steps: 1, weights: {{speech: 1.0}}}}]
"""


@pytest.fixture
def config(tmp_path):
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    asked = (Message(role="user", content="<audio>what is this?"), Message(role="assistant", content="noise"))
    for seed, split in enumerate(("train", "validation", "test")):
        noise = np.random.default_rng(seed).normal(size=8_000) / 10
        soundfile.write(corpus / f"{split}.flac", noise, 16_000)
        write_manifest([Row(id=split, messages=asked, audios=(f"{split}.flac",))], corpus / f"{split}.jsonl")
    path = tmp_path / "toy.yaml"
    path.write_text(CONFIG.format(corpus=corpus))
    return path


@pytest.mark.usefixtures("ray_cluster", "coat_home")
def test_the_job_encodes_what_is_learned_and_measured_and_prints_a_table(config, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["encode.py", "--config", str(config)])
    encode.main()
    (dataset,) = TargetStore(Storage.default().targets).datasets()
    assert len(dataset) == 2
    assert dataset.read(min(dataset.clip_ids())).shape == (12, dataset.spec.width)
    out = capsys.readouterr().out
    assert "encode 2/2 clips" in out
    assert "Targets of 2 clips in 2 files" in out


@pytest.mark.usefixtures("ray_cluster", "coat_home")
@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("experts.speech.model=spider", "did you mean 'spidr'"),
        ("corpus.name=/nowhere", "no corpus '/nowhere'"),
        ("resources.encode_cpus=99", "cluster has 6"),
    ],
)
def test_what_cannot_run_ends_in_a_sentence(config, monkeypatch, override, sentence):
    monkeypatch.setattr("sys.argv", ["encode.py", "--config", str(config), override])
    with pytest.raises(SystemExit, match=sentence):
        encode.main()
