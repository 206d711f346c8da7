"""A small untrained Qwen2-Audio on disk, and clips to feed it."""

from pathlib import Path

import numpy as np
import pytest

from coat_ray.config import BackboneConfig, ProjectorConfig, RunConfig, StageConfig
from coat_ray.experts.base import ClassifierHead, ContourHead, ExpertSpec, FrozenHead
from coat_ray.model.pretraining.layout import BaseSize, build_base, save_base, train_tokenizer

TEXTS = ["what sound is heard", "a dog barks", "which note comes first", "c sharp", "transcribe the speech"]


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an untrained model of the right class, heads 32 wide."""
    folder = tmp_path_factory.mktemp("tiny")
    tokenizer = train_tokenizer(TEXTS, 300)
    model, processor = build_base(tokenizer, BaseSize(hidden=64, heads=2, ffn=96, layers=2, tower_layers=1), 0)
    processor.feature_extractor.least_samples = 0  # as the published models: clips keep their length
    save_base(model, processor, folder)
    return folder


@pytest.fixture
def config(tiny_weights: Path) -> RunConfig:
    """A run on the tiny model."""
    return RunConfig(
        name="tiny",
        backbone=BackboneConfig(weights=str(tiny_weights)),
        projector=ProjectorConfig(num_heads=2),
        stages=(StageConfig(name="only", steps=1, weights={"recon": 1.0}),),
    )


def spec(name: str, width: int, loss: str, labels: tuple[str, ...] = ()) -> ExpertSpec:
    """Facts of a made-up teacher."""
    return ExpertSpec(name, 16_000, 50.0, 0.0125, width, loss, "Apache-2.0", True, "test", labels=labels)  # type: ignore[arg-type]


@pytest.fixture
def specs() -> dict[str, tuple[ExpertSpec, FrozenHead | None]]:
    """Four teachers, one for each kind of loss and reader."""
    return {
        "speech": (spec("spidr", 8, "mse", ("blank", "a", "b")), ClassifierHead(8, 3)),
        "sed": (spec("panns", 12, "bce", ("Bark", "Rain", "Wind", "Bell")), ClassifierHead(12, 4)),
        "paralinguistic": (spec("emotion2vec", 6, "mse", ("angry", "calm")), ClassifierHead(6, 2)),
        "pitch": (spec("basic_pitch", 8 * 264, "mse_focal"), ContourHead()),
    }


@pytest.fixture
def clips() -> list[np.ndarray]:
    """Three clips of different length, mono at 16 kHz."""
    rng = np.random.default_rng(0)
    return [(0.1 * rng.standard_normal(n)).astype(np.float32) for n in (8_000, 20_000, 14_321)]
