"""What the lease routes take from somebody who may not mean well."""

from __future__ import annotations

import pytest

from coat_ray.tenancy.ledger_tables import ShareKind
from coat_ray.tenancy.roles import PLATFORM
from coat_ray.tenancy.sharing import grant
from tests.serve.archives import corpus, zipped
from tests.serve.conftest import CONFIG, World

ABROAD = {**CONFIG, "corpus": {"name": "speech/clips"}}


@pytest.mark.parametrize("job", ["../v0/nodes?x=", "a/b", "a b", "ä", "", "x" * 201])
def test_a_ray_job_is_named_by_a_plain_id(world: World, job: str) -> None:
    answer = world.ask("POST", "/leases", json={"config": CONFIG, "ray_job_id": job})
    assert answer.status_code == 422
    assert "ray_job_id" in answer.json()["error"]["message"]
    assert world.ask("GET", "/runs").json()["data"] == []


@pytest.mark.parametrize("token", ["ä", "", "a b", "x" * 65])
@pytest.mark.parametrize("ending", [False, True])
def test_a_token_is_plain_text(world: World, token: str, ending: bool) -> None:
    path, more = ("release", {"outcome": "done"}) if ending else ("heartbeat", {})
    answer = world.ask("POST", f"/leases/trial-00000000/{path}", "none", json={"token": token, **more})
    assert answer.status_code == 422
    assert "token" in answer.json()["error"]["message"]


def test_an_idempotency_key_is_bounded(world: World) -> None:
    answer = world.ask("POST", "/leases", json={"config": CONFIG}, headers={"Idempotency-Key": "x" * 201})
    assert answer.status_code == 422


def test_a_result_that_cannot_be_kept_ends_no_lease(world: World) -> None:
    run = world.ask("POST", "/leases", json={"config": CONFIG}).json()["id"]
    token = world.ask("GET", f"/leases/{run}").json()["token"]
    body = {"token": token, "outcome": "done"}
    bad = world.ask("POST", f"/leases/{run}/release", "none", json={**body, "result": {"x": "${oc.env:HOME}"}})
    assert bad.status_code == 422
    assert world.ask("POST", f"/leases/{run}/release", "none", json=body).json()["state"] == "done"


def test_a_sweep_hears_of_its_trials_with_its_heartbeats(world: World) -> None:
    one = world.ask("POST", "/leases", json={"config": CONFIG}).json()
    sweep = world.ask("POST", "/leases", json={"config": CONFIG, "sweep": True}).json()
    assert (one["kind"], sweep["kind"]) == ("run", "sweep")
    token = world.ask("GET", f"/leases/{sweep['id']}").json()["token"]
    beat = f"/leases/{sweep['id']}/heartbeat"
    assert world.ask("POST", beat, "none", json={"token": token, "trials": 1}).json()["trials"] == []
    world.platform.ledger.tick()
    [trial] = world.ask("POST", beat, "none", json={"token": token, "trials": 1}).json()["trials"]
    assert trial["give_way"] is False
    ending = {"token": trial["token"], "outcome": "done"}
    assert world.ask("POST", f"/leases/{trial['run']}/release", "none", json=ending).json()["state"] == "done"
    listed = [run["id"] for run in world.ask("GET", "/runs").json()["data"]]
    assert sorted(listed) == sorted([one["id"], sweep["id"]])


@pytest.mark.parametrize("trials", [-1, 1001, "many"])
def test_a_sweep_cannot_ask_for_any_number_of_trials(world: World, trials: object) -> None:
    answer = world.ask("POST", "/leases/sweep-00000000/heartbeat", "none", json={"token": "x", "trials": trials})
    assert answer.status_code == 422


def test_a_run_has_no_trials(world: World) -> None:
    run = world.ask("POST", "/leases", json={"config": CONFIG}).json()["id"]
    token = world.ask("GET", f"/leases/{run}").json()["token"]
    answer = world.ask("POST", f"/leases/{run}/heartbeat", "none", json={"token": token, "trials": 1})
    assert answer.status_code == 422
    assert "is no sweep" in answer.json()["error"]["message"]


@pytest.mark.parametrize("outcome", ["running", "starting", "yielding", "nonsense"])
def test_a_lease_ends_only_in_an_end(world: World, outcome: str) -> None:
    answer = world.ask("POST", "/leases/trial-00000000/release", "none", json={"token": "x", "outcome": outcome})
    assert answer.status_code == 422
    assert "outcome" in answer.json()["error"]["message"]


def test_a_lease_for_another_tenants_corpus_needs_a_share(world: World) -> None:
    headers = {"content-type": "application/zip"}
    assert world.ask("PUT", "/corpora/clips", content=zipped(corpus()), headers=headers).status_code == 201
    refused = world.ask("POST", "/leases", "stranger", json={"config": ABROAD})
    assert refused.status_code == 422
    assert "no corpus 'speech/clips'" in refused.json()["error"]["message"]
    with world.platform.database.begin() as session:
        grant(session, "speech", ShareKind.CORPUS, "clips", "music", actor=PLATFORM)
    assert world.ask("POST", "/leases", "stranger", json={"config": ABROAD}).status_code == 201
