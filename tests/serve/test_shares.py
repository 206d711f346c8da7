"""Sharing over HTTP: by explicit grant, read-only, under the terms that the thing carries, until it is revoked."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from coat_ray.registry.models import ModelNotFound, ModelRegistry
from coat_ray.storage import Storage
from coat_ray.tenancy import audit
from coat_ray.tenancy.corpora import CorpusFacts, register_corpus
from coat_ray.tenancy.database import Database
from coat_ray.tenancy.ledger_tables import ShareKind
from coat_ray.tenancy.roles import PLATFORM
from coat_ray.tenancy.sharing import grant
from coat_ray.tenancy.tables import Outcome
from serve.jobs import Dispatcher
from serve.shared import place_shared
from tests.serve.conftest import World
from tests.serve.test_jobs import Jobs
from tests.serve.trained import NO_DERIVATIVES, NON_COMMERCIAL, add_model, registry_of, share


def links(world: World, tenant: str = "music") -> list[str]:
    root = world.platform.storage.tenant(tenant).shared
    return sorted(
        path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir() or path.is_symlink()
    )


def names(world: World, who: str) -> list[str]:
    return [row["model"] for row in world.ask("GET", "/models", who).json()["data"]]


def lines(world: World, action: str) -> list[audit.AuditRecord]:
    with world.platform.database.read() as session:
        return list(audit.query(session, action=action).records)


def test_a_shared_model_is_listed_shown_and_found_by_the_other_tenants_jobs(world: World) -> None:
    add_model(world)
    made = share(world)
    assert made.status_code == 201
    assert made.json()["name"] == "trial@1"
    [row] = world.ask("GET", "/models", "stranger").json()["data"]
    assert (row["model"], row["shared"], row["shared_with"]) == ("speech/trial@1", True, [])
    for ref in ("speech/trial", "speech/trial@1", "speech/coat"):
        assert world.ask("GET", f"/models/{ref}", "stranger").json() == row
    record = registry_of(world, "music").resolve("speech/trial")
    assert (registry_of(world, "music").adapter_folder(record) / "weights.bin").read_bytes() == b"one"
    assert world.ask("GET", "/models/trial").json()["shared_with"] == ["music"]


def test_both_sides_see_the_grant_and_a_third_does_not(world: World) -> None:
    add_model(world)
    made = share(world).json()
    for who in ("viewer", "stranger", "owner"):
        [row] = world.ask("GET", "/shares", who).json()["data"]
        assert {key: made[key] for key in row} == row
    assert world.ask("GET", "/shares", "owner", params={"tenant": "nobody"}).status_code == 404
    assert (row["owner"], row["kind"], row["name"], row["with"]) == ("speech", "model", "trial@1", "music")


def test_only_the_version_that_was_granted_is_shared(world: World) -> None:
    add_model(world)
    assert share(world, "trial").json()["name"] == "trial@1"
    add_model(world, "speech", "trial", NON_COMMERCIAL)
    assert names(world, "stranger") == ["speech/trial@1"]
    assert world.ask("GET", "/models/speech/trial@2", "stranger").status_code == 404
    assert links(world) == ["models/speech/trial/1"]


def test_a_revoked_share_is_gone_at_once_for_list_show_and_the_next_job(world: World) -> None:
    before = world.ask("GET", "/models/speech/trial@1", "stranger").content
    add_model(world)
    number = share(world).json()["id"]
    assert links(world) == ["models/speech/trial/1"]
    assert world.ask("DELETE", f"/shares/{number}", "admin").json()["revoked_at"]
    assert names(world, "stranger") == []
    assert world.ask("GET", "/models/speech/trial@1", "stranger").content == before
    assert links(world) == []
    assert world.ask("GET", "/shares", "stranger").json() == {"data": []}
    with pytest.raises(ModelNotFound):
        registry_of(world, "music").resolve("speech/trial")


@pytest.mark.parametrize(("method", "part"), [("POST", "/alias"), ("DELETE", "")])
def test_a_shared_model_is_only_read(world: World, method: str, part: str) -> None:
    add_model(world)
    share(world)
    answer = world.ask(method, f"/models/speech/trial@1{part}", "stranger", json={"alias": "mine"} if part else None)
    assert answer.status_code == 403
    assert names(world, "member") == ["speech/trial@1"]


def test_a_received_model_is_not_handed_on(world: World) -> None:
    add_model(world)
    share(world)
    answer = world.ask("POST", "/shares", "stranger", json={"kind": "model", "name": "speech/trial", "with": "speech"})
    assert answer.status_code == 404


def test_a_model_is_not_removed_while_it_is_shared(world: World) -> None:
    add_model(world)
    number = share(world).json()["id"]
    refused = world.ask("DELETE", "/models/trial@1", "admin")
    assert refused.status_code == 409
    assert "shared with music" in refused.json()["error"]["message"]
    world.ask("DELETE", f"/shares/{number}", "admin")
    assert world.ask("DELETE", "/models/trial@1", "admin").status_code == 200


def test_a_non_commercial_model_is_shared_only_with_who_is_said_to_be_bound(world: World) -> None:
    add_model(world, "speech", "trial", NON_COMMERCIAL)
    refused = share(world)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "licence")
    assert "because of expert spidr (CC BY-NC 4.0)" in refused.json()["error"]["message"]
    assert names(world, "stranger") == []
    [line] = lines(world, "POST /shares")
    assert line.outcome is Outcome.DENIED
    assert "CC BY-NC 4.0" in line.reason
    accepted = share(world, non_commercial=True)
    assert accepted.status_code == 201
    assert accepted.json()["restricted_by"] == ["expert spidr (CC BY-NC 4.0)"]
    [granted] = lines(world, "share.grant")
    assert granted.detail["non_commercial"] is True
    assert granted.detail["licence"] == "CC BY-NC 4.0"
    [row] = world.ask("GET", "/models", "stranger").json()["data"]
    assert (row["commercial_use"], row["restricted_by"]) == (False, ["expert spidr (CC BY-NC 4.0)"])


def test_what_may_not_be_handed_on_is_never_shared(world: World) -> None:
    add_model(world, "speech", "trial", NO_DERIVATIVES)
    for said in (False, True):
        refused = share(world, non_commercial=said)
        assert refused.status_code == 409
        assert "'CC BY-ND 4.0' does not let it be handed on" in refused.json()["error"]["message"]


@pytest.mark.parametrize("other", ["nobody", "musics"])
def test_nobody_to_share_with_is_a_404_that_names_no_other_tenant(world: World, other: str) -> None:
    add_model(world)
    body = {"kind": "model", "name": "trial", "with": other}
    answer = world.ask("POST", "/shares", "admin", json=body)
    assert answer.status_code == 404
    assert "music'" not in answer.text


def test_an_owner_shares_for_a_tenant_that_it_names(world: World) -> None:
    add_model(world)
    body = {"kind": "model", "name": "trial", "with": "music"}
    for tenant, expected in (("speech", 201), ("nobody", 404), ("../speech", 404), (None, 422)):
        params = {"tenant": tenant} if tenant else {}
        assert world.ask("POST", "/shares", "owner", json=body, params=params).status_code == expected


def test_a_shared_run_can_be_looked_at_and_not_touched(world: World) -> None:
    run = world.submit()
    paths = [f"/runs/{run}", f"/runs/{run}/metrics", f"/runs/{run}/logs"]
    hidden = [world.ask("GET", path, "stranger").content for path in paths]
    number = world.ask("POST", "/shares", "admin", json={"kind": "run", "name": run, "with": "music"}).json()["id"]
    assert [world.ask("GET", path, "stranger").status_code for path in paths] == [200] * 3
    assert world.ask("POST", f"/runs/{run}/stop", "stranger").status_code == 404
    assert world.ask("GET", f"/leases/{run}", "stranger").status_code == 404
    assert world.ask("GET", "/runs", "stranger").json()["data"] == []
    assert links(world) == []
    world.ask("DELETE", f"/shares/{number}", "admin")
    assert [world.ask("GET", path, "stranger").content for path in paths] == hidden


@pytest.mark.parametrize("kind", ["run", "corpus", "model"])
def test_what_is_not_there_or_another_tenants_is_not_shared(world: World, kind: str) -> None:
    run = world.submit()
    add_model(world)
    for name in ("trial", run, "nothing"):
        body = {"kind": kind, "name": name, "with": "speech"}
        assert world.ask("POST", "/shares", "stranger", json=body).status_code == 404


def register(world: World, licence: str) -> None:
    storage = world.platform.storage.tenant("speech")
    (storage.corpora / "calls").mkdir(parents=True)
    (storage.corpora / "calls" / "train.jsonl").write_text("")
    facts = CorpusFacts("abc", rows=1, audio_seconds=1.0, storage_bytes=1, licences=(licence,))
    with world.platform.database.begin() as session:
        register_corpus(session, "calls", facts, actor=PLATFORM, tenant="speech", path="corpora/calls")


def test_a_shared_corpus_lies_where_the_other_tenants_jobs_look_for_it(world: World) -> None:
    register(world, "CC0-1.0")
    made = world.ask("POST", "/shares", "admin", json={"kind": "corpus", "name": "calls", "with": "music"})
    assert (made.status_code, made.json()["licence"]) == (201, "CC0-1.0")
    assert links(world) == ["corpora/speech/calls"]
    assert (world.platform.storage.tenant("music").shared / "corpora" / "speech" / "calls" / "train.jsonl").is_file()


@pytest.mark.parametrize(("licence", "when_bound"), [("CC BY-NC 4.0", 201), ("not stated", 409)])
def test_a_corpus_is_shared_under_its_licence(world: World, licence: str, when_bound: int) -> None:
    register(world, licence)
    body = {"kind": "corpus", "name": "calls", "with": "music"}
    refused = world.ask("POST", "/shares", "admin", json=body)
    assert refused.status_code == 409
    assert licence in refused.json()["error"]["message"]
    assert world.ask("POST", "/shares", "admin", json=body | {"non_commercial": True}).status_code == when_bound


def test_a_job_starts_with_the_links_in_force(world: World) -> None:
    add_model(world)
    with world.platform.database.begin() as session:
        grant(session, "speech", ShareKind.MODEL, "trial@1", "music", actor=PLATFORM)
    world.submit("stranger")
    seen = []

    class Looking(Jobs):
        def submit_job(self, **job: Any) -> str:
            seen.append(links(world))
            return super().submit_job(**job)

    Dispatcher(world.platform.ledger, world.platform.storage, Looking(), Path(), "http://127.0.0.1:1").step()
    assert seen == [["models/speech/trial/1"]]


def plant(path: Path, target: Path | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target) if target else path.write_text("planted")


def test_only_the_links_in_force_lie_in_the_shared_folder_whatever_was_planted(world: World) -> None:
    add_model(world)
    secret = registry_of(world).folder(add_model(world))
    share(world, "trial@1")
    shared = world.platform.storage.tenant("music").shared
    plant(shared / "models" / "speech" / "trial" / "2", secret)
    plant(shared / "models" / "video", secret.parents[1])
    plant(shared / "models" / "note.txt")
    (shared / "models" / "speech" / "trial" / "1").unlink()
    plant(shared / "models" / "speech" / "trial" / "1", secret)
    place_shared(world.platform.database, world.platform.storage, "music")
    assert links(world) == ["models/speech/trial/1"]
    assert (shared / "models" / "speech" / "trial" / "1").resolve().name == "1"
    assert (secret / "record.json").is_file()


def test_a_shared_folder_that_is_a_link_is_replaced_and_what_it_points_to_stays(world: World) -> None:
    add_model(world)
    theirs = world.platform.storage.tenant("speech").root
    plant(world.platform.storage.tenant("music").shared, theirs)
    share(world)
    assert links(world) == ["models/speech/trial/1"]
    assert names(world, "member") == ["speech/trial@1"]
    assert {path.name for path in theirs.iterdir()} == {"models"}


def test_a_shared_folder_that_its_owner_turned_into_a_link_is_not_placed(world: World) -> None:
    folder = registry_of(world).folder(add_model(world))
    share(world)
    folder.rename(folder.with_name("moved"))
    folder.symlink_to(world.platform.storage.root)
    place_shared(world.platform.database, world.platform.storage, "music")
    assert links(world) == []


def test_links_are_the_same_when_many_place_them_at_once(world: World) -> None:
    url = f"sqlite:///{world.platform.storage.root / 'coat.db'}"
    for version in range(1, 4):
        add_model(world)
        with world.platform.database.begin() as session:
            grant(session, "speech", ShareKind.MODEL, f"trial@{version}", "music", actor=PLATFORM)
    root = world.platform.storage.root
    spawning = multiprocessing.get_context("spawn")  # a fork would copy the locks of threads that it does not have
    workers = [spawning.Process(target=place_often, args=(url, root), daemon=True) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=300)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert links(world) == [f"models/speech/trial/{version}" for version in (1, 2, 3)]


def place_often(url: str, root: Path) -> None:
    database = Database.open(url)
    for _ in range(5):
        place_shared(database, Storage(root), "music")
        assert len(ModelRegistry(Storage(root).tenant("music")).list(shared=True)) == 3
