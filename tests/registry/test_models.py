"""Models appear whole, keep their versions apart and answer to name, version and alias."""

import json
import shutil

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


@pytest.fixture
def trials(models, adapter):
    """Three versions of a model, all trained with the alias ``coat``."""
    return [models.add("trial", adapter, base=BASE, ingredients=[FREE], alias="coat") for _ in range(3)]


def test_an_alias_can_be_moved_to_an_older_version_and_means_something_all_the_time(models, trials, monkeypatch):
    meant, write = [], ModelRegistry._write

    def noted(self, record):
        written = write(self, record)
        meant.append(self.resolve("coat").version)
        return written

    monkeypatch.setattr(ModelRegistry, "_write", noted)
    assert models.alias("trial@1", "coat").ref == "trial@1"
    assert meant == [3, 2, 1]
    assert [record.alias for record in models.list()] == [None, None, "coat"]


def test_a_model_that_is_added_later_takes_the_alias_over(models, trials, adapter):
    models.alias("trial@1", "coat")
    later = models.add("trial", adapter, base=BASE, ingredients=[FREE], alias="coat")
    assert models.resolve("coat") == later
    models.alias("trial@1", "coat")
    assert models.resolve("coat").version == 1


def test_an_alias_can_be_taken_away(models, trials):
    models.alias("trial@2", "best")
    assert models.alias("best", None).ref == "trial@2"
    with pytest.raises(ModelNotFound, match="no model 'best'"):
        models.resolve("best")


@pytest.mark.parametrize("alias", ["trial", "base", "a/b", "..", ""])
def test_an_alias_that_would_never_answer_is_refused(models, trials, alias):
    with pytest.raises(ValueError, match=r"name of a model|cannot name a model"):
        models.alias("trial@1", alias)
    assert models.resolve("coat").version == 3


def test_scores_that_come_late_leave_the_alias_where_it_was_put(models, trials):
    models.alias("trial@1", "best")
    models.update(trials[0], scores={"a": 1})
    assert models.resolve("best").scores == {"a": 1}


def test_a_removed_version_is_gone_and_its_number_is_not_given_again(models, trials, adapter):
    models.remove(trials[2])
    assert [record.version for record in models.list()] == [2, 1]
    assert not models.adapter_folder(trials[2]).exists()
    assert models.resolve("coat").version == 2
    with pytest.raises(ModelNotFound):
        models.remove(trials[2])
    assert models.add("trial", adapter, base=BASE, ingredients=[FREE]).version == 4


def test_records_written_before_there_were_shares_still_load(models, trials):
    path = models.folder(trials[0]) / "record.json"
    old = {key: value for key, value in json.loads(path.read_text()).items() if key != "owner"}
    path.write_text(json.dumps(old))
    assert models.resolve("trial@1") == trials[0]


@pytest.mark.parametrize("level", [0, 1, 2], ids=["name", "version", "record"])
def test_a_link_is_not_followed(models, trials, tmp_path, level):
    other = ModelRegistry(Storage(tmp_path / "other"))
    other._root.parent.mkdir(parents=True)
    shutil.copytree(models._root, other._root)
    shutil.rmtree(models.folder(trials[1]))
    place = [models._root / "trial", models.folder(trials[1]), models.folder(trials[1]) / "record.json"][level]
    if level == 0:
        shutil.rmtree(place)
    place.parent.mkdir(exist_ok=True)
    place.symlink_to(other._root / place.relative_to(models._root))
    assert "trial@2" not in [record.ref for record in models.list()]
    with pytest.raises(ModelNotFound):
        models.resolve("trial@2")


def test_nothing_is_written_through_a_link(models, adapter, tmp_path):
    (tmp_path / "other").mkdir()
    models._root.mkdir(parents=True)
    (models._root / "trial").symlink_to(tmp_path / "other")
    with pytest.raises(ValueError, match="is a link"):
        models.add("trial", adapter, base=BASE, ingredients=[FREE])
    assert list((tmp_path / "other").iterdir()) == []


@pytest.mark.parametrize("change", [{"name": "other"}, {"version": 7}, {"adapter": "../../../x"}, {"licence": 1}])
def test_a_record_that_says_something_else_than_its_place_is_left_out_and_the_others_stay(
    models, trials, caplog, change
):
    path = models.folder(trials[0]) / "record.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert [record.version for record in models.list()] == [3, 2]
    assert str(path) in caplog.text
