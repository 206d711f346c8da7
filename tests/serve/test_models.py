"""Models over HTTP: a tenant sees its own and what is shared with it, and learns of no other."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from coat_ray.tenancy import audit
from coat_ray.tenancy.database import Database
from serve.routes import models
from tests.serve.conftest import World
from tests.serve.trained import NON_COMMERCIAL, add_model, registry_of, share


def names(world: World, who: str = "member", **params: object) -> list[str]:
    return [row["model"] for row in world.ask("GET", "/models", who, params=params).json()["data"]]


def status(world: World, method: str, path: str, who: str = "member", **more: object) -> int:
    return world.ask(method, path, who, **more).status_code


def audited(world: World, action: str) -> list[audit.AuditRecord]:
    with world.platform.database.read() as session:
        return list(audit.query(session, action=action).records)


def test_a_model_is_listed_with_its_licence_scores_and_lineage_and_without_places(world: World) -> None:
    add_model(world, "speech", "trial", NON_COMMERCIAL)
    answer = world.ask("GET", "/models", "viewer")
    [row] = answer.json()["data"]
    assert row["model"] == "speech/trial@1"
    assert (row["tenant"], row["name"], row["version"], row["alias"]) == ("speech", "trial", 1, "coat")
    assert (row["licence"], row["commercial_use"]) == ("CC BY-NC 4.0", False)
    assert row["restricted_by"] == ["expert spidr (CC BY-NC 4.0)"]
    assert row["scores"] == {"a": 0.5}
    assert row["lineage"]["run"] == "r1"
    assert (row["shared"], row["shared_with"]) == (False, [])
    assert str(world.platform.storage.root) not in answer.text


def test_of_a_path_in_a_record_only_the_last_part_is_shown(world: World) -> None:
    record = add_model(world)
    path = registry_of(world).folder(record) / "record.json"
    planted = {
        "base": {"weights": "/data/secret/Qwen2", "family": "a/b"},
        "restricted_by": ["corpus /data/x/calls (NC)"],
    }
    path.write_text(json.dumps(json.loads(path.read_text()) | planted))
    row = world.ask("GET", "/models/trial").json()
    assert row["base"] == {"weights": "Qwen2", "family": "a/b"}
    assert row["restricted_by"] == ["corpus calls (NC)"]


def test_a_model_is_shown_by_name_version_and_alias_with_or_without_its_tenant(world: World) -> None:
    for _ in range(2):
        add_model(world)
    for ref in ("trial", "trial@2", "coat", "speech/trial", "speech/trial@2", "speech%2Fcoat"):
        assert world.ask("GET", f"/models/{ref}").json()["model"] == "speech/trial@2"


@pytest.mark.parametrize("with_own", [False, True])
def test_a_strangers_model_is_a_missing_one(world: World, with_own: bool) -> None:
    if with_own:
        add_model(world, "music", "notes", alias=None)
    refs = ("speech/trial", "speech/trial@1", "speech/coat", "trial", "coat", "trial@1")
    asked: list[tuple[str, str, dict[str, str] | None]] = [
        (method, f"/models/{ref}", None) for ref in refs for method in ("GET", "DELETE")
    ]
    asked += [("POST", f"/models/{ref}/alias", {"alias": "mine"}) for ref in refs]

    def answers() -> list[tuple[int, bytes, list[str]]]:
        found = [world.ask(method, path, "stranger", json=body) for method, path, body in asked]
        return [(answer.status_code, answer.content, sorted(answer.headers)) for answer in found]

    missing = answers()
    add_model(world)
    assert answers() == missing
    assert {code for code, *_ in missing} == {404}
    assert names(world, "stranger") == (["music/notes@1"] if with_own else [])
    assert names(world) == ["speech/trial@1"]


def test_a_reference_is_a_name_and_never_a_path(world: World) -> None:
    add_model(world)
    for ref in (
        "..",
        "../speech/trial",
        "%2e%2e/speech/trial",
        "..%2fspeech%2ftrial@1",
        "/etc",
        "speech/../speech/trial@1",
    ):
        for method in ("GET", "DELETE"):
            assert status(world, method, f"/models/{ref}", "stranger") in (404, 405)
    assert names(world) == ["speech/trial@1"]


@pytest.mark.parametrize("level", ["models", "models/default", "models/default/trial", "models/default/trial/1"])
def test_a_link_in_a_tenants_folder_shows_nothing_of_another_tenant(world: World, level: str) -> None:
    add_model(world)
    theirs, ours = (world.platform.storage.tenant(name).root / level for name in ("speech", "music"))
    ours.parent.mkdir(parents=True)
    ours.symlink_to(theirs)
    assert names(world, "stranger") == []
    assert status(world, "GET", "/models/trial@1", "stranger") == 404
    assert status(world, "DELETE", "/models/trial@1", "stranger") == 404
    assert share(world, "trial@1", "stranger").status_code in (404, 422)
    assert names(world) == ["speech/trial@1"]


def test_an_owner_sees_the_models_of_all_tenants_or_of_one(world: World) -> None:
    add_model(world)
    add_model(world, "music", "notes")
    assert sorted(names(world, "owner")) == ["music/notes@1", "speech/trial@1"]
    assert names(world, "owner", tenant="music") == ["music/notes@1"]
    assert world.ask("GET", "/models/speech/coat", "owner").json()["model"] == "speech/trial@1"
    assert status(world, "GET", "/models/coat", "owner") == 404
    assert status(world, "GET", "/models", "owner", params={"tenant": "nobody"}) == 404
    assert status(world, "GET", "/models", "owner", params={"tenant": "../speech"}) == 404
    assert status(world, "GET", "/models", "stranger", params={"tenant": "speech"}) == 403


def test_an_alias_is_moved_taken_and_recorded(world: World) -> None:
    for _ in range(2):
        add_model(world)
    moved = world.ask("POST", "/models/trial@1/alias", json={"alias": "coat"})
    assert moved.json()["model"] == world.ask("GET", "/models/coat").json()["model"] == "speech/trial@1"
    assert world.ask("POST", "/models/coat/alias", json={"alias": None}).json()["alias"] is None
    assert status(world, "GET", "/models/coat") == 404
    assert [line.detail for line in audited(world, "model.alias")] == [{"alias": None}, {"alias": "coat"}]
    assert status(world, "POST", "/models/trial@1/alias", "viewer", json={"alias": "best"}) == 403
    assert status(world, "POST", "/models/trial@1/alias", json={"alias": "trial"}) == 422


def test_a_version_is_removed_by_an_admin_who_names_it(world: World) -> None:
    for _ in range(2):
        add_model(world)
    assert status(world, "DELETE", "/models/trial@2", "member") == 403
    unclear = world.ask("DELETE", "/models/trial", "admin")
    assert unclear.status_code == 422
    assert "such as trial@2" in unclear.json()["error"]["message"]
    assert world.ask("DELETE", "/models/trial@2", "admin").json()["model"] == "speech/trial@2"
    assert names(world) == ["speech/trial@1"]
    assert [line.target for line in audited(world, "model.remove")] == ["model/trial@2"]


def test_a_broken_record_hides_no_other_model(world: World) -> None:
    add_model(world)
    folder = registry_of(world).folder(add_model(world))
    (folder / "record.json").write_text("{")
    assert names(world) == ["speech/trial@1"]
    shutil.rmtree(folder)
    assert names(world) == ["speech/trial@1"]


def test_files_are_deleted_when_others_can_write_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    add_model(world)
    deleted = []

    def deleting(folder: Path, **more: object) -> None:
        with world.platform.database.begin() as session:  # waits for ever inside of another transaction
            audit.record(session, None, "test.write")
        deleted.append(sorted(path.name for path in folder.iterdir()))

    monkeypatch.setattr(models.shutil, "rmtree", deleting)
    assert status(world, "DELETE", "/models/trial@1", "admin") == 200
    assert deleted == [["adapter", "record.json"]]
    assert names(world) == []
    assert audited(world, "model.remove")


def test_a_removal_that_is_not_written_down_removes_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    record = add_model(world)
    begin = Database.begin

    @contextmanager
    def failing(database: Database) -> Iterator[Session]:
        with begin(database) as session:
            yield session
            raise RuntimeError("the disk is full")

    monkeypatch.setattr(Database, "begin", failing)
    assert status(world, "DELETE", "/models/trial@1", "admin") == 500
    monkeypatch.undo()
    assert names(world) == ["speech/trial@1"]
    assert (registry_of(world).adapter_folder(record) / "weights.bin").read_bytes() == b"one"
