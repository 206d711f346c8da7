"""Models appear whole, keep their versions apart and answer to name, version and alias."""

import pytest

from coat_ray.registry.licences import Ingredient
from coat_ray.registry.models import ModelNotFound, ModelRegistry
from coat_ray.storage import Storage

FREE = Ingredient("base", "small", "Apache-2.0", commercial_use=True)
BOUND = Ingredient("expert", "spidr", "CC BY-NC 4.0", commercial_use=False)
BASE = {"family": "qwen2_audio", "weights": "embedded"}


@pytest.fixture
def adapter(tmp_path):
    folder = tmp_path / "made" / "adapter"
    folder.mkdir(parents=True)
    (folder / "weights.bin").write_bytes(b"one")
    return folder


@pytest.fixture
def models(tmp_path):
    return ModelRegistry(Storage(tmp_path / "home"))


def test_a_model_keeps_its_own_copy_of_the_adapter(models, adapter):
    record = models.add("trial-coat", adapter, base=BASE, ingredients=[FREE], lineage={"run": "r1"})
    (adapter / "weights.bin").write_bytes(b"changed")
    assert (models.adapter_folder(record) / "weights.bin").read_bytes() == b"one"
    assert models.resolve("trial-coat") == record
    assert record.lineage == {"run": "r1"}


def test_versions_count_up_and_the_name_means_the_newest(models, adapter):
    first = models.add("trial", adapter, base=BASE, ingredients=[FREE])
    second = models.add("trial", adapter, base=BASE, ingredients=[FREE])
    assert (first.ref, second.ref) == ("trial@1", "trial@2")
    assert models.resolve("trial") == second
    assert models.resolve("trial@1") == first


def test_an_alias_means_the_newest_model_that_carries_it(models, adapter):
    models.add("monday", adapter, base=BASE, ingredients=[FREE], alias="coat")
    second = models.add("tuesday", adapter, base=BASE, ingredients=[FREE], alias="coat")
    models.add("tuesday-sft", adapter, base=BASE, ingredients=[FREE], alias="vanilla")
    assert models.resolve("coat") == second


def test_a_name_wins_over_an_alias(models, adapter):
    named = models.add("coat", adapter, base=BASE, ingredients=[FREE])
    models.add("other", adapter, base=BASE, ingredients=[FREE], alias="coat")
    assert models.resolve("coat") == named


def test_a_non_commercial_expert_marks_the_model(models, adapter):
    record = models.add("trial", adapter, base=BASE, ingredients=[FREE, BOUND])
    assert not record.commercial_use
    assert record.restricted_by == ("expert spidr (CC BY-NC 4.0)",)
    assert models.add("free", adapter, base=BASE, ingredients=[FREE]).commercial_use


def test_scores_can_be_added_later(models, adapter):
    record = models.add("trial", adapter, base=BASE, ingredients=[FREE], scores={"a": 1})
    assert models.update(record, scores={"b": 2}).scores == {"a": 1, "b": 2}
    assert models.resolve("trial").scores == {"a": 1, "b": 2}


def test_an_unknown_model_names_its_neighbours(models, adapter):
    models.add("trial-coat", adapter, base=BASE, ingredients=[FREE])
    with pytest.raises(ModelNotFound, match="did you mean 'trial-coat'"):
        models.resolve("trail-coat")
    with pytest.raises(ModelNotFound, match="trial-coat@1"):
        models.resolve("trial-coat@7")


def test_an_empty_registry_says_what_to_do(models):
    with pytest.raises(ModelNotFound, match="make train"):
        models.resolve("coat")


@pytest.mark.parametrize("name", ["base", "../escape", "Big", "", "a" * 64])
def test_names_that_cannot_be_a_models_are_refused(models, adapter, name):
    with pytest.raises(ValueError, match="cannot name a model"):
        models.add(name, adapter, base=BASE, ingredients=[FREE])
    assert models.list() == []


def test_a_copy_that_fails_leaves_nothing(models, adapter, monkeypatch):
    monkeypatch.setattr("coat_ray.registry.models.shutil.copytree", _fail)
    with pytest.raises(OSError, match="disk full"):
        models.add("trial", adapter, base=BASE, ingredients=[FREE])
    assert models.list() == []
    assert list((models._root / "trial").iterdir()) == []


def test_a_folder_left_by_a_killed_process_is_never_seen(models, adapter):
    shelf = models._root / "trial" / ".adding-dead"
    shelf.mkdir(parents=True)
    (shelf / "record.json").write_text("{")
    assert models.list() == []
    assert models.add("trial", adapter, base=BASE, ingredients=[FREE]).version == 1


def test_two_writers_get_two_versions(models, adapter, monkeypatch):
    monkeypatch.setattr(ModelRegistry, "_versions", lambda self, name: [])
    versions = [models.add("trial", adapter, base=BASE, ingredients=[FREE]).version for _ in range(3)]
    assert versions == [1, 2, 3]


def _fail(*args, **kwargs):
    raise OSError("disk full")
