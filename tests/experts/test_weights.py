"""Weights are found, verified and loaded strictly, or refused with advice."""

import argparse
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from coat_ray.config import ExpertConfig
from coat_ray.experts import panns, spidr, weights
from coat_ray.experts.registry import load_expert
from coat_ray.experts.spidr import Spidr
from coat_ray.experts.weights import OfficialWeights, WeightsError

EMBEDDED = ("spidr", "panns", "emotion2vec", "basic_pitch")


@pytest.fixture(autouse=True)
def _own_home(monkeypatch, tmp_path):
    monkeypatch.setenv("COAT_HOME", str(tmp_path / "home"))


@pytest.fixture
def official(monkeypatch):
    """A published checkpoint of known size and digest, in the cache."""
    path = weights.cache_folder() / "model.safetensors"
    path.parent.mkdir(parents=True)
    save_file({"a": torch.ones(3)}, path)
    digest = weights.digest(path)
    return OfficialWeights("model.safetensors", "https://example.org/model", "MIT", path.stat().st_size, digest)


def test_a_verified_official_file_is_read(official):
    loaded = weights.load_weights("any", "official", official)
    assert loaded.sha256 == official.sha256
    assert loaded.state["a"].tolist() == [1, 1, 1]


def test_a_damaged_official_file_is_refused(official):
    path = weights.cache_folder() / official.file
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(WeightsError, match=r"sha256 .* instead of .* download https://example.org/model again"):
        weights.load_weights("any", "official", official)


def test_a_truncated_official_file_is_refused(official):
    path = weights.cache_folder() / official.file
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(WeightsError, match=f"bytes instead of {official.size}"):
        weights.load_weights("any", "official", official)


def test_absent_official_weights_say_where_to_get_them_and_where_to_put_them():
    with pytest.raises(WeightsError) as error:
        load_expert(ExpertConfig(model="panns", weights="official"))
    for part in (
        "coat experts pull panns",
        "--from FOLDER",
        "zenodo.org/records/3987831",
        "327,428,481 bytes",
        panns.OFFICIAL_WEIGHTS.sha256,
        "home/cache/experts",
        "CC-BY-4.0",
    ):
        assert part in str(error.value)


def test_a_path_that_is_not_there_is_said():
    with pytest.raises(WeightsError, match=r"no weights at /nowhere/spidr\.pt"):
        load_expert(ExpertConfig(model="spidr", weights="/nowhere/spidr.pt"))


def test_a_state_that_does_not_fit_names_the_keys():
    encoder = spidr.SpidrEncoder(spidr.EMBEDDED)
    state = encoder.state_dict()
    state["student.extra"] = state.pop("student.layer_norm.bias")
    state["student.layer_norm.weight"] = torch.zeros(5)
    with pytest.raises(WeightsError) as error:
        weights.load_strict(encoder, state, (), Path("some.pt"))
    assert "1 missing (student.layer_norm.bias)" in str(error.value)
    assert "1 unknown (student.extra)" in str(error.value)
    assert "1 of another shape (student.layer_norm.weight)" in str(error.value)


def test_a_checkpoint_of_the_official_kind_loads_from_a_path(tmp_path, monkeypatch):
    small = spidr.SpidrConfig(conv_dim=16, embed_dim=32, num_layers=6, num_heads=2, ffn_dim=64)
    monkeypatch.setattr(spidr, "OFFICIAL", small)
    state = spidr.SpidrEncoder(small).state_dict() | {f"teacher.{n}": torch.zeros(1) for n in range(3)}
    for n in range(2):
        state |= {f"heads.{n}.0.weight": torch.full((256, 32), n + 1.0), f"heads.{n}.0.bias": torch.zeros(256)}
    torch.save({"model": state, "step": 7}, tmp_path / "spidr.pt")
    expert = Spidr.load(str(tmp_path / "spidr.pt"))
    assert expert.layer == 6
    assert expert.head.linear.weight[0, 0] == 2.0  # heads begin at layer 5
    assert expert.spec.licence == "CC-BY-NC-4.0"
    assert not expert.spec.commercial_use


class Danger:
    def __reduce__(self):
        return (Path.touch, (Path("touched"),))


def test_a_pickle_with_code_is_not_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"model": {}, "extra": Danger()}, tmp_path / "bad.pt", pickle_module=pickle)
    with pytest.raises(WeightsError, match="a pickle can run code"):
        weights.read_state(tmp_path / "bad.pt")
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("name", ["any.pt", "any.safetensors"])
@pytest.mark.parametrize("damage", ["cut", "page", "empty"])
def test_a_damaged_checkpoint_is_named_in_one_sentence(tmp_path, name, damage):
    path = tmp_path / name
    state = {"a": torch.ones(3000)}
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    whole = path.read_bytes()
    path.write_bytes({"cut": whole[:-1000], "page": b"<!doctype html>", "empty": b""}[damage])
    with pytest.raises(WeightsError, match=f"{name} is .*bring it again"):
        weights.read_state(path)


def test_a_checkpoint_that_is_no_state_dict_is_refused(tmp_path):
    torch.save([torch.ones(3)], tmp_path / "list.pt")
    with pytest.raises(WeightsError, match="no state dict"):
        weights.read_state(tmp_path / "list.pt")


def test_what_training_leaves_beside_the_tensors_is_passed_over(tmp_path):
    options, meters = argparse.Namespace(lr=1.0, out=["here"]), {"loss": np.float64(3.0), "steps": np.int64(7)}
    torch.save({"args": options, "extra_state": meters, "model": {"a": torch.ones(2)}}, tmp_path / "fairseq.pt")
    state, _ = weights.read_state(tmp_path / "fairseq.pt")
    assert state["a"].tolist() == [1, 1]


def test_the_stand_ins_are_allowed_only_while_a_checkpoint_is_read(tmp_path):
    torch.save({"args": argparse.Namespace(), "model": {"a": torch.ones(2)}}, tmp_path / "fairseq.pt")
    weights.read_state(tmp_path / "fairseq.pt")
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "fairseq.pt", weights_only=True)


def test_embedded_weights_round_trip_in_half_precision(tmp_path):
    path = tmp_path / "w.safetensors"
    weights.save_embedded(path, {"encoder.a": torch.tensor([0.1]), "encoder.n": torch.tensor(3)}, {"labels": ["x"]})
    state, meta = weights.read_state(path)
    assert state["encoder.a"].dtype == torch.float16
    assert state["encoder.n"].item() == 3
    assert meta == {"labels": ["x"]}


def test_the_embedded_weights_are_small():
    assert sum(path.stat().st_size for path in weights.EMBEDDED_FOLDER.glob("*.safetensors")) <= 3_000_000


def test_an_unknown_expert_names_its_neighbour():
    with pytest.raises(ValueError, match="did you mean 'panns'"):
        load_expert(ExpertConfig(model="pans"))


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_teachers_may_be_used_commercially(name):
    spec = load_expert(ExpertConfig(model=name)).spec
    assert spec.name == name
    assert spec.licence == "Apache-2.0"
    assert spec.commercial_use


@pytest.mark.parametrize("name", EMBEDDED)
def test_a_spec_survives_json(name):
    spec = load_expert(ExpertConfig(model=name)).spec
    data = spec.to_json()
    assert type(spec)(**(data | {"labels": tuple(data["labels"])})) == spec
