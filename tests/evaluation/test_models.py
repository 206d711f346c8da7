"""Several models on one corpus of real files, as `coat evaluate` runs them."""

from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from coat_ray.audio import AudioError
from coat_ray.config import CorpusConfig, RunConfig, StageConfig
from coat_ray.corpus.manifest import Message, Row, write_manifest
from coat_ray.evaluation.asking.answerers import ModelAnswerer
from coat_ray.evaluation.asking.answers import EvaluationError
from coat_ray.evaluation.models import evaluate_models
from coat_ray.model.backbones.qwen2_audio import Qwen2AudioBackbone
from coat_ray.model.generate import Generator
from coat_ray.model.interventions import BlockTreatment
from coat_ray.model.pretraining.layout import BaseSize, build_base, train_tokenizer
from coat_ray.registry.models import ModelNotFound
from coat_ray.storage import Storage

RATE = 16_000


class Loudness:
    """Stands for a loaded generator: hears whether a clip is loud, and answers with what it heard."""

    def __init__(self, threshold: float = 0.2) -> None:
        self.front = SimpleNamespace(sample_rate=RATE, audio_length=lambda samples: samples // 640)
        self.backbone = torch.nn.Linear(1, 1)
        torch.nn.init.constant_(self.backbone.weight, threshold)
        torch.nn.init.zeros_(self.backbone.bias)
        self.block, self.treatment, self.calls = False, "trained", 0

    def generate(self, conversations, signals, max_new_tokens):
        self.calls += 1
        assert all(turns[-1]["role"] == "user" for turns in conversations)
        loud = [float(np.abs(clips[0]).max()) > self.backbone.weight.item() for clips in signals]
        texts = ["loud" if is_loud else "quiet" for is_loud in loud]
        return SimpleNamespace(texts=texts, audio_tokens=[len(clips[0]) // 640 for clips in signals])


@pytest.fixture
def corpus(tmp_path):
    folder = tmp_path / "corpus"
    (folder / "clips").mkdir(parents=True)
    rows = []
    for number in range(6):
        level, name = (0.5, "loud") if number % 2 else (0.05, "quiet")
        samples = level * np.sin(np.arange(RATE // 2) / 5)
        soundfile.write(folder / "clips" / f"{number}.flac", samples, RATE)
        turns = (Message(role="user", content="<audio>\nloud or quiet?"), Message(role="assistant", content=name))
        rows.append(Row(id=f"r{number}", messages=turns, audios=(f"clips/{number}.flac",), task="audio_qa"))
    for split in ("train", "validation", "test"):
        write_manifest(rows, folder / f"{split}.jsonl")
    return folder


@pytest.fixture
def config(corpus) -> RunConfig:
    return RunConfig(name="toy", corpus=CorpusConfig(name=str(corpus)), stages=(StageConfig(name="one", steps=1),))


def test_models_hear_the_files_of_the_manifest(config, tmp_path) -> None:
    models = {"sharp": Loudness(), "deaf": Loudness(threshold=2.0)}
    evaluations = evaluate_models(["sharp", "deaf"], config, Storage(tmp_path / "home"), open_model=models.get)
    assert [(e.model, e.scores()["audio_qa"].value) for e in evaluations] == [("sharp", 1.0), ("deaf", 0.5)]


def test_a_second_evaluation_of_the_same_weights_asks_nothing(config, tmp_path) -> None:
    storage, same = Storage(tmp_path / "home"), Loudness()
    evaluate_models(["m"], config, storage, open_model=lambda name: Loudness())
    evaluate_models(["m"], config, storage, open_model=lambda name: same)
    assert same.calls == 0


def test_new_weights_under_an_old_name_are_asked_again(config, tmp_path) -> None:
    storage, retrained = Storage(tmp_path / "home"), Loudness(threshold=2.0)
    evaluate_models(["m"], config, storage, open_model=lambda name: Loudness())
    (evaluation,) = evaluate_models(["m"], config, storage, open_model=lambda name: retrained)
    assert retrained.calls == 1
    assert evaluation.scores()["audio_qa"].value == 0.5


def test_identity_covers_weights_and_treatment_of_the_block() -> None:
    def identity(threshold: float = 0.2, treatment: str = "trained") -> str:
        generator = Loudness(threshold)
        generator.treatment = treatment
        return ModelAnswerer(generator, str).identity()

    assert identity() == identity()
    assert len({identity(), identity(threshold=0.3), identity(treatment="shuffled")}) == 3


def test_a_broken_clip_stops_the_evaluation(config, corpus, tmp_path) -> None:
    (corpus / "clips" / "3.flac").write_bytes(b"not audio at all")
    with pytest.raises(AudioError):
        evaluate_models(["m"], config, Storage(tmp_path / "home"), open_model=lambda name: Loudness())


@pytest.mark.parametrize(
    ("names", "split", "message"),
    [([], "test", "at least one"), (["m", "m"], "test", "each once"), (["m"], "exam", "no split 'exam'")],
)
def test_requests_that_make_no_sense_are_refused(config, tmp_path, names, split, message) -> None:
    with pytest.raises(EvaluationError, match=message):
        evaluate_models(names, config, Storage(tmp_path), split=split, open_model=lambda name: Loudness())


def test_an_unknown_model_is_refused_before_anything_is_loaded(config, tmp_path) -> None:
    with pytest.raises(ModelNotFound, match="caot"):
        evaluate_models(["base", "caot"], config, Storage(tmp_path))


def test_a_real_generator_is_asked_with_and_without_its_block(config, tmp_path) -> None:
    tokenizer = train_tokenizer(["loud or quiet?", "loud", "quiet"], vocab_size=300)

    def open_model(treatment: str) -> Generator:
        backbone = Qwen2AudioBackbone(*build_base(tokenizer, BaseSize(hidden=32, tower_layers=1, layers=1), seed=0))
        return Generator(backbone, block=True, treatment=BlockTreatment(treatment))

    evaluations = evaluate_models(["trained", "removed"], config, Storage(tmp_path / "home"), open_model=open_model)
    trained, removed = ([answer.answer for answer in e.answers] for e in evaluations)
    assert len(trained) == len(removed) == 6
    assert trained != removed
