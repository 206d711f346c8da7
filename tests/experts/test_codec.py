"""The codec slot runs the encoder that a user brings, and says what it needs when there is none."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from coat_ray.config import ExpertConfig, RunConfig
from coat_ray.experts import codec
from coat_ray.experts.registry import load_expert
from coat_ray.experts.weights import WeightsError


class Encoder(nn.Module):
    """Mean level of each 20 ms, over *width* channels; stands for an exported encoder."""

    def __init__(self, width: int = 768, extra: int = 0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.linspace(0.0, 1.0, width))
        self.extra = extra

    def forward(self, waves: Tensor) -> Tensor:
        num = waves.shape[1] // 320
        levels = waves[:, : num * 320].reshape(waves.shape[0], num, 320).abs().mean(-1, keepdim=True)
        return nn.functional.pad(levels * self.scale, (0, 0, 0, self.extra))


@pytest.fixture
def exported(tmp_path):
    def export(**sizes):
        path = tmp_path / "encoder.ts"
        with pytest.warns(DeprecationWarning, match="torch.export"):
            torch.jit.save(torch.jit.script(Encoder(**sizes)), path)
        return str(path)

    return export


def load(weights: str):
    return load_expert(ExpertConfig(model="sim_whisper", weights=weights))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_exported_encoder_becomes_a_teacher_at_fifty_frames_a_second(exported):
    expert = load(exported())
    clips = [0.1 * np.ones(16_000, np.float32), 0.2 * np.ones(8_000, np.float32)]
    first, second = expert.encode(clips)
    assert (first.shape, second.shape) == ((50, 768), (25, 768))
    assert second[:, -1] == pytest.approx(0.2)
    assert (expert.spec.rate, expert.spec.first_center, expert.spec.loss) == (50.0, 0.0, "mse")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_another_export_is_another_teacher(exported):
    first = load(exported(extra=1)).fingerprint
    assert load(exported(extra=0)).fingerprint != first


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("wrong", [{"width": 32}, {"extra": 1450}], ids=["width", "padding kept"])
def test_an_encoder_of_another_shape_is_refused(exported, wrong):
    expert = load(exported(**wrong))
    with pytest.raises(ValueError, match=r"it must give \(1, about 50, 768\), without the frames of its own padding"):
        expert.encode([np.zeros(16_000, np.float32)])


@pytest.mark.parametrize("weights", ["embedded", "official", "/nowhere/encoder.ts"])
def test_without_an_encoder_it_says_what_it_needs(weights):
    with pytest.raises(WeightsError, match=r"sim_whisper: no weights.*TorchScript file.*docs/experts\.md"):
        load(weights)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_file_that_is_not_torchscript_is_refused(tmp_path):
    (tmp_path / "encoder.ts").write_bytes(b"not a module")
    with pytest.raises(WeightsError, match="is not a TorchScript file"):
        load(str(tmp_path / "encoder.ts"))


def test_nothing_is_promised_about_the_terms_of_a_users_file():
    assert not codec.SimWhisper.official_spec().commercial_use


def test_a_run_takes_a_codec_beside_or_instead_of_the_tower():
    experts = {"codec": {"model": "sim_whisper", "weights": "encoder.ts"}}
    for weights in ({"recon": 1.0, "codec": 1.0}, {"codec": 1.0}):
        config = RunConfig.model_validate(
            {"name": "codec", "experts": experts, "stages": [{"name": "one", "steps": 1, "weights": weights}]}
        )
        assert "codec" in config.stages[0].active


def test_the_towers_role_stays_the_towers():
    with pytest.raises(ValueError, match="a codec goes beside it under a role of its own"):
        RunConfig.model_validate(
            {
                "name": "codec",
                "experts": {"recon": {"model": "sim_whisper"}},
                "stages": [{"name": "one", "steps": 1, "weights": {"recon": 1.0}}],
            }
        )
