"""What other tenants share is found by ``owner/name`` and never written."""

import pytest

from coat_ray.registry.licences import Ingredient
from coat_ray.registry.models import ModelNotFound, ModelRegistry
from coat_ray.storage import Storage

FREE = Ingredient("base", "small", "Apache-2.0", commercial_use=True)
BASE = {"family": "qwen2_audio", "weights": "embedded"}


@pytest.fixture
def theirs(tmp_path):
    """Another tenant's models: two versions."""
    models = ModelRegistry(Storage(tmp_path / "speech"))
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "weights.bin").write_bytes(b"one")
    for _ in range(2):
        models.add("trial", tmp_path / "adapter", base=BASE, ingredients=[FREE], alias="coat")
    return models


@pytest.fixture
def ours(tmp_path, theirs):
    """A tenant with whom the first version is shared, as the platform places it."""
    storage = Storage(tmp_path / "music")
    place = storage.shared / "models" / "speech" / "trial" / "1"
    place.parent.mkdir(parents=True)
    place.symlink_to(theirs.folder(theirs.resolve("trial@1")))
    return ModelRegistry(storage)


@pytest.mark.parametrize("ref", ["speech/trial", "speech/trial@1", "speech/coat"])
def test_a_shared_model_is_found_by_its_owner_and_name(ours, ref):
    record = ours.resolve(ref)
    assert (record.owner, record.ref) == ("speech", "speech/trial@1")
    assert (ours.adapter_folder(record) / "weights.bin").read_bytes() == b"one"


def test_only_the_version_that_is_shared_is_there(ours):
    with pytest.raises(ModelNotFound, match="did you mean 'speech/trial"):
        ours.resolve("speech/trial@2")


@pytest.mark.parametrize(
    "ref", ["trial", "coat", "trial@1", "/trial", "other/trial", "../speech/trial", "speech//trial"]
)
def test_without_its_owner_it_is_not_meant(ours, ref):
    with pytest.raises(ModelNotFound):
        ours.resolve(ref)


def test_a_listing_says_what_is_shared_when_it_is_asked_to(ours, tmp_path):
    ours.add("own", tmp_path / "adapter", base=BASE, ingredients=[FREE])
    assert [record.ref for record in ours.list()] == ["own@1"]
    assert {record.ref: record.owner for record in ours.list(shared=True)} == {
        "own@1": None,
        "speech/trial@1": "speech",
    }


def test_its_licence_comes_with_it(ours, theirs):
    assert ours.resolve("speech/trial").licence == theirs.resolve("trial@1").licence == "Apache-2.0"


@pytest.mark.parametrize(
    "change",
    [
        lambda models, record: models.update(record, scores={"a": 1}),
        lambda models, record: models.alias(record.ref, "mine"),
        lambda models, record: models.remove(record),
    ],
    ids=["update", "alias", "remove"],
)
def test_it_is_only_read(ours, theirs, change):
    before = theirs.list()
    with pytest.raises(ValueError, match="speech/trial@1 is shared to be read; only speech changes it"):
        change(ours, ours.resolve("speech/trial"))
    assert theirs.list() == before


def test_a_share_that_ended_is_not_found(ours):
    (ours._shared / "speech" / "trial" / "1").unlink()
    with pytest.raises(ModelNotFound):
        ours.resolve("speech/trial")
