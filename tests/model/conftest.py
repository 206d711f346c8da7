"""A small untrained model of each family on disk, and clips to feed it."""

from pathlib import Path

import numpy as np
import pytest

from coat_ray.config import BackboneConfig, ProjectorConfig, RunConfig, StageConfig
from coat_ray.experts.base import ClassifierHead, ContourHead, ExpertSpec, FrozenHead
from tests.model.families import TINY


@pytest.fixture(scope="session")
def tiny_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Family -> folder of a small untrained model."""
    folders = {family: tmp_path_factory.mktemp(family) for family in TINY}
    for family, write in TINY.items():
        write(folders[family])
    return folders


@pytest.fixture(params=TINY)
def family(request: pytest.FixtureRequest) -> str:
    """Each backbone family in turn."""
    return request.param


@pytest.fixture
def config(family: str, tiny_folders: dict[str, Path]) -> RunConfig:
    """A run on the family's small model."""
    return RunConfig(
        name="tiny",
        backbone=BackboneConfig(family=family, weights=str(tiny_folders[family])),
        projector=ProjectorConfig(num_heads=2),
        stages=(StageConfig(name="only", steps=1, weights={"recon": 1.0}),),
    )


def spec(name: str, width: int, loss: str, labels: tuple[str, ...] = ()) -> ExpertSpec:
    """Facts of a made-up teacher."""
    return ExpertSpec(name, 16_000, 50.0, 0.0125, width, loss, "Apache-2.0", True, "test", labels=labels)  # type: ignore[arg-type]


def make_specs() -> dict[str, tuple[ExpertSpec, FrozenHead | None]]:
    """Four teachers, one for each kind of loss and reader."""
    return {
        "speech": (spec("spidr", 8, "mse", ("blank", "a", "b")), ClassifierHead(8, 3)),
        "sed": (spec("panns", 12, "bce", ("Bark", "Rain", "Wind", "Bell")), ClassifierHead(12, 4)),
        "paralinguistic": (spec("emotion2vec", 6, "mse", ("angry", "calm")), ClassifierHead(6, 2)),
        "pitch": (spec("basic_pitch", 8 * 264, "mse_focal"), ContourHead()),
    }


@pytest.fixture
def specs() -> dict[str, tuple[ExpertSpec, FrozenHead | None]]:
    """Four teachers, one for each kind of loss and reader."""
    return make_specs()


def make_clips() -> list[np.ndarray]:
    """Three clips of different length, mono at 16 kHz."""
    rng = np.random.default_rng(0)
    return [(0.1 * rng.standard_normal(n)).astype(np.float32) for n in (8_000, 20_000, 14_321)]


@pytest.fixture
def clips() -> list[np.ndarray]:
    """Three clips of different length, mono at 16 kHz."""
    return make_clips()
