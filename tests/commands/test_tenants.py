"""`coat tenants`: made with a first key, shown, limited, closed."""

import json
import re

import pytest


@pytest.fixture(autouse=True)
def _owner(act_as):
    act_as("owner")


def test_a_tenant_comes_with_its_first_admin_key(coat, service, monkeypatch):
    limits = ("--gpus", 2, "--storage-gb", 1.5, "--queued-runs", 7)
    code, out, err = coat("tenants", "create", "birds", "--title", "Bird songs", *limits)
    assert (code, err) == (0, "")
    assert "not shown again" in out
    [key] = re.findall(r"^coat_\w{8}_\S{43}$", out, re.MULTILINE)
    listed = json.loads(coat("tenants", "list", "--json")[1])
    assert {"name": "birds", "title": "Bird songs"}.items() <= next(t for t in listed if t["name"] == "birds").items()
    assert key.split("_", 2)[2] not in coat("keys", "list", "--json")[1] + coat("audit", "--json")[1]
    monkeypatch.setenv("COAT_API_KEY", key)
    me = json.loads(coat("whoami", "--json")[1])
    assert (me["role"], me["tenant"], me["quota"]["gpus"], me["quota"]["cpus"]) == ("admin", "birds", 2, None)
    assert (me["quota"]["storage_bytes"], me["quota"]["queued_runs"]) == (1_500_000_000, 7)
    assert [tenant["name"] for tenant in json.loads(coat("tenants", "list", "--json")[1])] == ["birds"]


def test_the_first_key_can_be_taken_as_json(coat):
    made = json.loads(coat("tenants", "create", "whales", "--json")[1])
    assert made["name"] == "whales"
    assert made["first_key"]["key"].startswith(f"coat_{made['first_key']['id']}_")


def test_a_tenant_whose_key_could_not_be_made_is_said_with_the_way_on(coat, monkeypatch):
    from coat_ray.client import Client, PlatformError

    post = Client.post

    def failing(self, path, *arguments, **options):
        if path == "/keys":
            raise PlatformError("the platform answered 500", 500)
        return post(self, path, *arguments, **options)

    monkeypatch.setattr(Client, "post", failing)
    code, _, err = coat("tenants", "create", "frogs")
    assert code == 1
    assert "tenant frogs is made, its first key is not" in err
    assert "coat keys create --role admin --tenant frogs" in err


def test_limits_are_shown_and_changed(coat):
    changed = coat("tenants", "quota", "music", "gpus=8", "storage_gb=2", "weight=2.5", "--json")[1]
    quota = json.loads(changed)
    assert (quota["gpus"], quota["storage_bytes"], quota["weight"]) == (8, 2_000_000_000, 2.5)
    assert json.loads(coat("tenants", "quota", "music", "gpus=none", "--json")[1])["gpus"] is None
    assert json.loads(coat("tenants", "quota", "music", "--json")[1])["weight"] == 2.5
    shown = coat("tenants", "show", "music")[1]
    assert re.search(r"storage_bytes +2e\+09|storage_bytes +2000000000", shown)
    assert re.search(r"gpus +unlimited", shown)
    assert json.loads(coat("tenants", "show", "music", "--json")[1])["quota"]["weight"] == 2.5


def test_closing_asks_first_and_ends_every_key(coat):
    made = json.loads(coat("tenants", "create", "bats", "--json")[1])
    assert "--yes does it" in coat("tenants", "close", "bats")[1]
    assert "bats" in coat("tenants", "list")[1]
    assert coat("tenants", "close", "bats", "--yes")[0] == 0
    assert "bats" not in coat("tenants", "list")[1]
    ended = next(k for k in json.loads(coat("keys", "list", "--json")[1]) if k["id"] == made["first_key"]["id"])
    assert ended["revoked_at"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["create", "Speech"], "cannot name a tenant"),
        (["create", "speech"], "there is a tenant 'speech' already"),
        (["quota", "speech", "gpu=8"], "did you mean 'gpus'?"),
        (["quota", "nobody"], "no tenant 'nobody'"),
        (["show", "nobody"], "no tenant 'nobody'"),
        (["close", "nobody", "--yes"], "no tenant 'nobody'"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(coat, arguments, sentence):
    code, out, err = coat("tenants", *arguments)
    assert (code, out) == (1, "")
    assert sentence in err
    assert err.count("\n") == 1


def test_a_limit_that_is_no_number_is_wrong_usage(coat):
    for change in ("gpus", "gpus=many"):
        assert coat("tenants", "quota", "speech", change)[0] == 2


def test_only_the_owner_makes_tenants(coat, act_as):
    act_as("admin")
    code, _, err = coat("tenants", "create", "others")
    assert code == 1
    assert "takes the owner of the platform" in err
