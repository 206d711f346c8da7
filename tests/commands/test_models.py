"""`coat models` and `coat shares`: of the platform where one is configured, of this machine with --local."""

import json

import pytest

from coat_ray.registry.licences import Ingredient
from coat_ray.registry.models import ModelRegistry
from coat_ray.storage import Storage

FREE = Ingredient("base", "small", "Apache-2.0", commercial_use=True)
BOUND = Ingredient("expert", "spidr", "CC BY-NC 4.0", commercial_use=False)


def add(storage, name, ingredient, folder):
    (folder / "adapter").mkdir(exist_ok=True)
    return ModelRegistry(storage).add(name, folder / "adapter", base={}, ingredients=[ingredient], alias="coat")


def listed(coat, *arguments):
    return [row["model"] for row in json.loads(coat("models", "list", "--json", *arguments)[1])]


@pytest.fixture
def here(coat_home, tmp_path):
    return [add(Storage(coat_home), "own", FREE, tmp_path) for _ in range(2)]


def test_a_model_of_the_platform_is_shared_read_and_taken_back(coat, service, act_as, tmp_path, here):
    add(service.storage.tenant("speech"), "trial", BOUND, tmp_path)
    act_as("admin")
    assert listed(coat) == ["speech/trial@1"]
    assert listed(coat, "--local") == ["own@2", "own@1"]
    code, out, err = coat("models", "share", "coat", "--with", "music")
    assert (code, out) == (1, "")
    assert "because of expert spidr (CC BY-NC 4.0)" in err
    assert "--non-commercial" in err
    code, out, _ = coat("models", "share", "coat", "--with", "music", "--non-commercial")
    assert code == 0
    assert out.startswith("music may read model speech/trial@1 (share ")
    assert "no commercial use because of expert spidr (CC BY-NC 4.0)" in out
    assert "speech/trial@1" not in coat("models", "remove", "trial@1", "--yes")[1]
    act_as("music")
    assert listed(coat) == ["speech/trial@1"]
    assert json.loads(coat("models", "show", "speech/trial")[1])["shared"] is True
    assert "trial@1" in coat("shares", "list")[1]
    act_as("admin")
    assert coat("models", "unshare", "trial", "--with", "music")[1] == "music may no longer read model speech/trial@1\n"
    assert "is not shared with music" in coat("models", "unshare", "trial", "--with", "music")[2]
    act_as("music")
    assert listed(coat) == []
    assert "no model 'speech/trial'" in coat("models", "show", "speech/trial")[2]


def test_an_owner_shares_for_a_tenant_and_ends_it_by_number(coat, service, act_as, tmp_path):
    add(service.storage.tenant("speech"), "other", FREE, tmp_path)
    run = service.submit("speech")
    act_as("owner")
    assert "may read model speech/other@1" in coat("models", "share", "speech/other", "--with", "music")[1]
    assert "may read run" in coat("shares", "grant", "run", run, "--with", "music", "--tenant", "speech")[1]
    shares = json.loads(coat("shares", "list", "--json")[1])
    for share in shares:
        assert coat("shares", "revoke", share["id"])[0] == 0
    assert json.loads(coat("shares", "list", "--json")[1]) == []


def test_an_alias_of_the_platform_is_moved_and_a_version_removed(coat, service, act_as, tmp_path):
    for _ in range(2):
        add(service.storage.tenant("music"), "notes", FREE, tmp_path)
    act_as("music")
    assert coat("models", "alias", "notes@1", "best")[1] == "best is music/notes@1\n"
    assert json.loads(coat("models", "show", "best")[1])["version"] == 1
    assert coat("models", "alias", "best", "--remove")[1] == "music/notes@1 has no alias\n"
    act_as("owner")
    assert coat("models", "remove", "music/notes@1")[1] == "would remove music/notes@1 for good; --yes does it\n"
    assert coat("models", "remove", "music/notes@1", "--yes")[1] == "music/notes@1 is removed\n"
    assert "music/notes@1" not in listed(coat)


def test_without_a_platform_the_models_of_this_machine_are_meant(coat, here):
    assert coat("models", "alias", "own@1", "coat")[1] == "coat is own@1\n"
    assert json.loads(coat("models", "show", "coat")[1])["version"] == 1
    assert coat("models", "remove", "own@2", "--yes")[1] == "own@2 is removed\n"
    assert listed(coat) == ["own@1"]
    assert "no platform is configured" in coat("models", "share", "own", "--with", "music")[2]


@pytest.mark.parametrize("arguments", [["alias", "own"], ["alias", "own", "x", "--remove"], ["remove", "own"]])
def test_what_is_not_said_clearly_is_not_done(coat, here, arguments):
    assert coat("models", *arguments)[0] == 2
    assert listed(coat) == ["own@2", "own@1"]
