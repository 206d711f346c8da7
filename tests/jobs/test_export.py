"""The export job from its command line to a folder and a sentence about the licence."""

import json

import pytest

from coat_ray.config import BackboneConfig, RunConfig, StageConfig
from coat_ray.model.coat import CoatModel
from coat_ray.registry.licences import Ingredient
from coat_ray.registry.models import ModelRegistry
from coat_ray.storage import Storage
from jobs import export
from tests.model.families import TINY


@pytest.fixture
def registered(coat_home, tmp_path):
    """A small model in the registry, kept from commercial use by an expert."""
    (tmp_path / "base").mkdir()
    TINY["qwen2_audio"](tmp_path / "base")
    backbone = BackboneConfig(weights=str(tmp_path / "base"))
    config = RunConfig(name="tiny", backbone=backbone, stages=(StageConfig(name="one", steps=1),))
    CoatModel.create(config, block=True, specs={}).save_adapter(tmp_path / "adapter")
    terms = [Ingredient("base", "small", "Apache-2.0", True), Ingredient("expert", "spidr", "CC BY-NC 4.0", False)]
    models = ModelRegistry(Storage.default())
    return models.add("tiny-coat", tmp_path / "adapter", base=backbone.model_dump(), ingredients=terms)


def test_a_registered_model_becomes_a_folder_that_keeps_its_record(registered, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "out"
    monkeypatch.setattr("sys.argv", ["export.py", "--model", "tiny-coat", "--kind", "merged", "--to", str(folder)])
    export.main()
    assert {"model.safetensors", "tokenizer.json", "export.json", "ask.py", "record.json"} <= {
        path.name for path in folder.iterdir()
    }
    assert json.loads((folder / "record.json").read_text())["commercial_use"] is False
    assert "no commercial use" in capsys.readouterr().out


@pytest.mark.usefixtures("registered")
def test_an_unknown_model_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "sys.argv", ["export.py", "--model", "tony", "--kind", "adapter", "--to", str(tmp_path / "out")]
    )
    with pytest.raises(SystemExit, match="tony"):
        export.main()
