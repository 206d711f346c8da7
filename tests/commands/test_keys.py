"""`coat keys`, `coat login`, `coat whoami`: a key's text is seen once, and goes in by no argument."""

import io
import json
import stat

import pytest

from coat_ray.tenancy.database import Database
from coat_ray.tenancy.keys import authenticate
from coat_ray.tenancy.ledger_tables import RunState
from coat_ray.tenancy.roles import Principal, Role


def text_of(out):
    [text] = [line for line in out.splitlines() if line.startswith("coat_")]
    return text


def test_a_key_is_shown_once_and_ends_when_it_is_revoked(coat, service, act_as):
    act_as("admin")
    code, out, err = coat("keys", "create", "--role", "member", "--label", "ci", "--days", 30)
    assert (code, err) == (0, "")
    assert "not shown again" in out
    key = text_of(out)
    assert authenticate(service.database, key).tenant == "speech"
    row = next(row for row in json.loads(coat("keys", "list", "--json")[1]) if row["id"] == key.split("_")[1])
    assert (row["label"], row["role"], row["revoked_at"]) == ("ci", "member", None)
    assert row["expires_at"]
    code, out, _ = coat("keys", "revoke", row["id"])
    assert out.startswith(f"key {row['id']} ended at ")
    act_as("admin")
    assert next(r for r in json.loads(coat("keys", "list", "--json")[1]) if r["id"] == row["id"])["revoked_at"]


def test_a_key_that_requires_audio_is_listed_as_one(coat, act_as):
    act_as("admin")
    made = json.loads(coat("keys", "create", "--role", "viewer", "--require-audio", "--json")[1])
    rows = {row["id"]: row["require_audio"] for row in json.loads(coat("keys", "list", "--json")[1])}
    assert rows[made["id"]]
    assert not all(rows.values())
    assert "require audio" in coat("keys", "list")[1]


def test_no_listing_holds_a_secret(coat, service, act_as):
    act_as("owner")
    shown = "".join(coat(*verb)[1] for verb in (["keys", "list"], ["keys", "list", "--json"], ["audit", "--json"]))
    assert [key for key in service.keys.values() if key.split("_", 2)[2] in shown] == []


def test_a_whole_key_can_be_revoked_and_only_its_public_part_is_sent(coat, act_as, monkeypatch):
    from coat_ray.client import Client

    act_as("admin")
    key = text_of(coat("keys", "create", "--role", "viewer")[1])
    sent, delete = [], Client.delete
    monkeypatch.setattr(Client, "delete", lambda self, path: sent.append(path) or delete(self, path))
    assert coat("keys", "revoke", key)[0] == 0
    assert sent == [f"/keys/{key.split('_')[1]}"]


@pytest.mark.parametrize(
    ("who", "arguments", "sentence"),
    [
        ("speech", ["create", "--role", "viewer"], "takes the admin"),
        ("admin", ["create", "--role", "owner"], "takes the owner of the platform"),
        ("admin", ["create", "--role", "viewer", "--tenant", "music"], "no tenant 'music'"),
        ("admin", ["revoke", "00000000"], "no key '00000000'"),
        ("owner", ["create", "--role", "member"], "needs a tenant"),
    ],
)
def test_what_a_key_may_not_do_is_one_sentence(coat, act_as, who, arguments, sentence):
    act_as(who)
    code, out, err = coat("keys", *arguments)
    assert (code, out) == (1, "")
    assert sentence in err
    assert err.count("\n") == 1


def test_a_lost_owner_key_is_replaced_beside_the_database(coat, coat_home):
    key = text_of(coat("keys", "create", "--role", "owner", "--local", "--require-audio")[1])
    database = Database.open(storage_root=coat_home)
    assert authenticate(database, key) == Principal(None, Role.OWNER, key.split("_")[1], require_audio=True)
    database.close()


def test_login_reads_the_key_from_standard_input_and_keeps_it_privately(coat, service, coat_home, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{service.keys['speech']}\n"))
    code, out, err = coat("login", service.url)
    assert (code, err) == (0, "")
    assert f"member of tenant speech at {service.url}" in out
    assert service.keys["speech"] not in out
    file = coat_home / "platform.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "member of tenant speech" in coat("whoami")[1]
    assert coat("logout")[1] == "forgotten\n"
    code, _, err = coat("whoami")
    assert code == 1
    assert "coat login URL" in err


@pytest.mark.parametrize("text", ["coat_00000000_" + "x" * 43, "", "not a key"])
def test_a_key_that_is_not_accepted_is_not_kept_and_not_repeated(coat, service, coat_home, monkeypatch, text):
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{text}\n"))
    code, out, err = coat("login", service.url)
    assert (code, out) == (1, "")
    assert "key" in err
    assert not text or text not in err
    assert not (coat_home / "platform.json").exists()


def test_a_key_is_no_argument(coat, service):
    assert coat("login", service.url, service.keys["speech"])[0] == 2


def test_whoami_says_what_is_used_of_each_limit(coat, service, act_as):
    act_as("speech")
    run = service.submit()
    service.ledger.tick()
    me = json.loads(coat("whoami", "--json")[1])
    assert (me["role"], me["tenant"], me["platform"]) == ("member", "speech", service.url)
    assert (me["used"]["running_runs"], me["used"]["cpus"], me["used"]["trials"]) == (1, 3, 0)
    assert "running_runs" in coat("whoami")[1]
    service.ledger.release(run, service.ledger.lease_of(run).token, RunState.DONE)
    assert json.loads(coat("whoami", "--json")[1])["used"]["cpus"] == 0
    act_as("owner")
    assert "owner of the platform" in coat("whoami")[1]
