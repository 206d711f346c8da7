"""Records of corpora: who may, what is counted, what is kept from others; the meter agrees with them."""

from __future__ import annotations

import os
import shutil
from contextlib import nullcontext
from pathlib import Path

import pytest
from sqlalchemy import select

from coat_ray.storage import Storage
from coat_ray.tenancy import audit
from coat_ray.tenancy.corpora import (
    CorpusExists,
    CorpusFacts,
    CorpusInUse,
    CorpusNotFound,
    corpus_exists,
    get_corpus,
    list_corpora,
    register_corpus,
    remove_corpus,
)
from coat_ray.tenancy.errors import Denied, Forbidden
from coat_ray.tenancy.ledger import Ledger, Submission
from coat_ray.tenancy.ledger_tables import RunKind, ShareKind
from coat_ray.tenancy.quotas import Quota, set_quota
from coat_ray.tenancy.roles import PLATFORM, Principal, Role
from coat_ray.tenancy.scheduling.demand import Resources
from coat_ray.tenancy.sharing import StillShared, grant, revoke
from coat_ray.tenancy.storage_meter import measure, measure_all
from coat_ray.tenancy.tables import UsageRow
from coat_ray.tenancy.usage_report import stored_bytes, usage_totals

from .conftest import NOW

FACTS = CorpusFacts("f" * 64, rows=3, audio_seconds=4.5, storage_bytes=1000, licences=("CC-BY-4.0", "not stated"))
VIEWER, MEMBER, ADMIN = (Principal("speech", role) for role in (Role.VIEWER, Role.MEMBER, Role.ADMIN))
STRANGER = Principal("music", Role.ADMIN)


def register(session, name="bells", facts=FACTS, actor=MEMBER, tenant="speech"):
    return register_corpus(session, name, facts, actor=actor, tenant=tenant, path=f"corpora/{name}", now=NOW)


def submit(database, config, tenant="speech"):
    ledger = Ledger(database, lambda: Resources(0, 0))
    what = Submission(kind=RunKind.RUN, name="trial", config=config, resources=Resources(1, 0))
    return ledger, ledger.submit(what, actor=PLATFORM, tenant=tenant).id


def test_a_corpus_is_written_down_counted_and_read_by_its_tenant(database):
    with database.begin() as session:
        made = register(session)
    with database.read() as session:
        assert get_corpus(session, "bells", actor=VIEWER, tenant="speech") == made
        assert list_corpora(session, actor=VIEWER) == [made]
        assert list_corpora(session, actor=PLATFORM, tenant="speech") == list_corpora(session, actor=PLATFORM) == [made]
        assert list_corpora(session, actor=PLATFORM, tenant="music") == []
        assert stored_bytes(session, "speech") == 1000
        [line] = audit.query(session, action="corpus.register").records
    assert made.to_json() | {"created_at": None} == {
        "tenant": "speech",
        "name": "bells",
        "path": "corpora/bells",
        "fingerprint": "f" * 64,
        "rows": 3,
        "audio_seconds": 4.5,
        "storage_bytes": 1000,
        "licences": ["CC-BY-4.0", "not stated"],
        "created_by": None,
        "created_at": None,
    }
    assert (line.target, line.tenant, line.detail["storage_bytes"]) == ("corpus/bells", "speech", 1000)


def test_registered_again_it_is_the_same_and_counts_once(database):
    with database.begin() as session:
        assert register(session) == register(session)
        with pytest.raises(CorpusExists, match="'bells' already, with other content"):
            register(session, facts=CorpusFacts("0" * 64, 3, 4.5, 1000, ()))
    with database.read() as session:
        assert stored_bytes(session, "speech") == 1000
        assert len(audit.query(session, action="corpus.register").records) == 1


def test_each_role_reaches_as_far_as_it_should(database):
    with database.begin() as session:
        with pytest.raises(Forbidden, match="takes the member of tenant 'speech'"):
            register(session, actor=VIEWER)
        with pytest.raises(Forbidden):
            register(session, actor=STRANGER)
        register(session)
        with pytest.raises(Forbidden, match="takes the admin of tenant 'speech'"):
            remove_corpus(session, "bells", actor=MEMBER, tenant="speech")
        remove_corpus(session, "bells", actor=ADMIN, tenant="speech", now=NOW)
    with database.read() as session:
        assert stored_bytes(session, "speech") == 0
        assert len(audit.query(session, action="corpus.remove").records) == 1


def test_a_corpus_of_another_tenant_is_none(database):
    with database.begin() as session:
        register(session)
        said = []
        for name in ("bells", "knell"):
            for ask in (get_corpus, remove_corpus):
                with pytest.raises(CorpusNotFound) as problem:
                    ask(session, name, actor=STRANGER, tenant="speech")
                said.append(str(problem.value).replace("bells", "knell"))
        assert set(said) == {"no corpus 'knell'; `coat corpora list` shows what there is"}
        assert list_corpora(session, actor=STRANGER) == []


def test_two_tenants_have_one_name_each_for_itself(database):
    with database.begin() as session:
        mine = register(session)
        theirs = register(session, facts=CorpusFacts("0" * 64, 1, None, 7, ()), actor=STRANGER, tenant="music")
        remove_corpus(session, "bells", actor=STRANGER, tenant="music")
        assert get_corpus(session, "bells", actor=VIEWER, tenant="speech") == mine != theirs
        assert stored_bytes(session, "speech") == 1000


def test_a_quota_is_checked_where_the_corpus_is_granted(database):
    with database.begin() as session:
        set_quota(session, "speech", Quota(storage_bytes=1999), actor=PLATFORM)
        register(session)
    with pytest.raises(Denied) as denied, database.begin() as session:
        register(session, "more")
    assert (denied.value.denial.used, denied.value.denial.allowed, denied.value.denial.wanted) == (1000, 1999, 1000)
    with database.begin() as session:
        remove_corpus(session, "bells", actor=ADMIN, tenant="speech")
        register(session, "more")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "-a", "a b", "x" * 64, "a\n", "ä"])
def test_a_name_is_one_part_of_a_path(database, name):
    with database.begin() as session, pytest.raises(ValueError, match="cannot name a corpus"):
        register(session, name)


@pytest.mark.parametrize(
    "config",
    [
        {"corpus": {"name": "bells"}},
        {"run": {"corpus": {"name": "bells"}}},
        {"variants": [{"name": "a", "set": ["corpus.name=bells"]}]},
        {"space": {"corpus.name": {"choice": ["soundworld-mini", "bells"]}}},
    ],
)
def test_a_corpus_stays_while_a_run_needs_it(database, config):
    with database.begin() as session:
        register(session)
        register(session, "other")
    ledger, run = submit(database, config)
    with database.begin() as session:
        with pytest.raises(CorpusInUse, match=f"run '{run}' needs it"):
            remove_corpus(session, "bells", actor=ADMIN, tenant="speech")
        remove_corpus(session, "other", actor=ADMIN, tenant="speech")
    ledger.stop(run, actor=PLATFORM)
    with database.begin() as session:
        remove_corpus(session, "bells", actor=ADMIN, tenant="speech")


def test_a_run_of_another_tenant_with_a_corpus_of_that_name_does_not_count(database):
    with database.begin() as session:
        register(session)
    submit(database, {"corpus": {"name": "bells"}}, tenant="music")
    with database.begin() as session:
        remove_corpus(session, "bells", actor=ADMIN, tenant="speech")


def test_a_shared_corpus_is_named_with_its_owner_and_stays_while_it_is_shared(database):
    with database.begin() as session:
        register(session)
        assert not corpus_exists(session, "music", "speech/bells")
        share = grant(session, "speech", ShareKind.CORPUS, "bells", "music", actor=ADMIN)
        assert corpus_exists(session, "music", "speech/bells")
        assert not corpus_exists(session, "music", "bells")
        assert not corpus_exists(session, "music", "speech/knell")
        with pytest.raises(StillShared, match="shared with music"):
            remove_corpus(session, "bells", actor=ADMIN, tenant="speech")
    _, _ = submit(database, {"corpus": {"name": "speech/bells"}}, tenant="music")
    with database.begin() as session:
        revoke(session, share.id, actor=ADMIN)
        remove_corpus(session, "bells", actor=ADMIN, tenant="speech")


def test_what_another_tenant_names_without_a_share_holds_nothing_up(database):
    with database.begin() as session:
        register(session)
    submit(database, {"corpus": {"name": "speech/bells"}}, tenant="music")
    with database.begin() as session:
        remove_corpus(session, "bells", actor=ADMIN, tenant="speech")


# The meter


def write(storage: Storage, name: str, num_bytes: int, tenant: str = "speech") -> Path:
    file = storage.tenant(tenant).root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(bytes(num_bytes))
    return file


def counted(database, tenant="speech"):
    with database.read() as session:
        return stored_bytes(session, tenant)


@pytest.fixture
def storage(tmp_path):
    return Storage(tmp_path / "root")


def test_the_meter_counts_what_lies_under_each_root_and_only_that(database, storage):
    for place, size in {"runs/default/a/x": 10, "models/b": 200, "corpora/c/d/e": 3000, "targets/f": 40_000}.items():
        write(storage, place, size)
    for place in ("cache/x", "incoming/a/x", "inbox/x"):
        write(storage, place, 500_000)
    theirs = write(storage, "runs/x", 7, tenant="music")
    (storage.tenant("speech").root / "link").symlink_to(theirs.parent)
    (storage.tenant("speech").root / "runs" / "file").symlink_to(theirs)
    os.link(storage.tenant("speech").root / "models" / "b", storage.tenant("speech").root / "models" / "again")
    assert measure_all(database, storage) == {"music": 7, "speech": 43_210}
    assert (counted(database), counted(database, "music")) == (43_210, 7)


def test_the_meter_records_changes_and_none_twice(database, storage):
    file = write(storage, "runs/a", 100)
    assert [measure(database, storage, "speech", now=NOW) for _ in range(3)] == [100] * 3
    write(storage, "runs/a", 150)
    measure(database, storage, "speech")
    file.unlink()
    measure(database, storage, "speech")
    assert counted(database) == 0
    with database.read() as session:
        assert [total.storage_bytes for total in usage_totals(session, by=["tenant"])] == [0]
        assert [row.amount for row in session.scalars(select(UsageRow).order_by(UsageRow.id))] == [100, 50, -150]


def test_what_was_recorded_by_whoever_stored_it_is_not_counted_again(database, storage):
    with database.begin() as session:
        register(session)
    file = write(storage, "corpora/bells/x", 1000)
    write(storage, "runs/a", 1)
    assert measure(database, storage, "speech") == counted(database) == 1001
    with database.begin() as session:
        remove_corpus(session, "bells", actor=ADMIN, tenant="speech")
    file.unlink()
    assert measure(database, storage, "speech") == counted(database) == 1


def test_what_is_recorded_while_the_meter_walks_is_left_to_the_next_time(database, storage, monkeypatch):
    write(storage, "runs/a", 1)
    walk = os.scandir

    def scandir(place):
        monkeypatch.setattr(os, "scandir", walk)
        with database.begin() as session:
            register(session)
        return walk(place)

    monkeypatch.setattr(os, "scandir", scandir)
    measure(database, storage, "speech")
    assert counted(database) == 1000
    write(storage, "corpora/bells/x", 1000)
    measure(database, storage, "speech")
    assert counted(database) == 1001


def test_files_and_folders_may_vanish_under_the_meter(database, storage, monkeypatch):
    for name in ("runs/folder/x", "runs/file", "models/x"):
        write(storage, name, 10)
    walk, runs = os.scandir, storage.tenant("speech").root / "runs"

    def scandir(place):
        entries = walk(place)
        if Path(place) != runs:
            return entries
        listed = list(entries)
        monkeypatch.setattr(os, "scandir", walk)
        shutil.rmtree(runs)
        return nullcontext(listed)

    monkeypatch.setattr(os, "scandir", scandir)
    assert measure(database, storage, "speech") == 10


def test_a_tenant_without_a_folder_stores_nothing(database, storage):
    assert measure_all(database, storage) == {"music": 0, "speech": 0}
