"""Corpora over HTTP: what comes in is whole, inside, within its limits and its tenant's alone; or nothing is there."""

from __future__ import annotations

import asyncio
import fcntl
import io
import json
import os
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from coat_ray.corpus.builtin import corpus_folder
from coat_ray.tenancy.quotas import Quota, set_quota
from coat_ray.tenancy.roles import PLATFORM
from coat_ray.tenancy.storage_meter import measure
from coat_ray.tenancy.usage_report import stored_bytes
from serve.archives import GZIP, TAR, ZIP
from serve.corpus_store import Bounds
from serve.platform_api import PREFIX, build_app
from tests.serve.archives import WAVES, corpus, entry, manifest, row, tarred, zipped
from tests.serve.conftest import CONFIG, World, world_in

CORPUS = corpus()
NUM_BYTES = sum(map(len, CORPUS.values()))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[World]:
    """One platform for all tests that leave nothing behind."""
    with world_in(tmp_path_factory.mktemp("kept"), empty_database) as made:
        yield made


def put(world: World, body: bytes | Iterator[bytes], name: str = "bells", who: str = "member", kind: str = ZIP):  # type: ignore[no-untyped-def]
    return world.ask("PUT", f"/corpora/{name}", who, content=body, headers={"content-type": kind})


def message(answer: Any) -> str:
    return answer.json()["error"]["message"]


def home(world: World, tenant: str = "speech") -> Path:
    return world.platform.storage.tenant(tenant).root


def left(world: World) -> list[str]:
    """Everything that lies in the tenant's storage but the lock."""
    found = sorted(str(path.relative_to(home(world))) for path in home(world).rglob("*"))
    return [name for name in found if name not in ("corpora", "incoming", "incoming/.lock")]


def bounded(world: World, **bounds: Any) -> World:
    platform = replace(world.platform, uploads=replace(Bounds(), **bounds))
    return replace(world, platform=platform, client=TestClient(build_app(platform), raise_server_exceptions=False))


def allow(world: World, num_bytes: int) -> None:
    with world.platform.database.begin() as session:
        set_quota(session, "speech", Quota(storage_bytes=num_bytes), actor=PLATFORM)


def counted(world: World, tenant: str = "speech") -> int:
    with world.platform.database.read() as session:
        return stored_bytes(session, tenant)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (ZIP, zipped(CORPUS)),
        (ZIP, zipped({f"bells/{name}": data for name, data in CORPUS.items()})),
        (TAR, tarred(CORPUS)),
        (TAR, tarred({f"./{name}": data for name, data in CORPUS.items()}, entry("./clips", tarfile.DIRTYPE))),
        (GZIP, tarred(CORPUS, mode="w:gz")),
        (f"{ZIP}; charset=binary", zipped(CORPUS, zipfile.ZIP_STORED)),
    ],
)
def test_an_upload_becomes_a_corpus_that_jobs_find_by_name(world: World, kind: str, body: bytes) -> None:
    answer = put(world, body, kind=kind)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert (made["tenant"], made["name"], made["rows"], made["audio_seconds"]) == ("speech", "bells", 3, 4.0)
    assert made["licences"] == ["CC-BY-4.0", "CC0-1.0"]
    assert made["storage_bytes"] == NUM_BYTES == counted(world)
    folder = corpus_folder("bells", world.platform.storage.tenant("speech"))
    assert {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*")} == CORPUS
    assert list((home(world) / "incoming").iterdir()) == [home(world) / "incoming" / ".lock"]
    assert world.ask("GET", "/corpora/bells", "viewer").json() == made
    assert world.ask("GET", "/corpora", "viewer").json() == {"data": [made]}


def test_a_row_without_licence_or_length_shows(world: World) -> None:
    made = put(world, zipped(corpus(row("a", "clips/0.wav")))).json()
    assert made["licences"] == ["CC0-1.0", "not stated"]
    assert made["audio_seconds"] is None


def test_sent_again_it_is_the_same_corpus_and_counts_once(world: World) -> None:
    first = put(world, zipped(CORPUS))
    allow(world, NUM_BYTES)
    again = put(world, tarred(CORPUS), kind=TAR)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    assert counted(world) == NUM_BYTES


@pytest.mark.parametrize("clip", [b"\7" * 1000, b"\7" * 1001])
def test_other_content_under_the_same_name_is_a_conflict(world: World, clip: bytes) -> None:
    put(world, zipped(CORPUS))
    before = left(world)
    answer = put(world, zipped({**CORPUS, "clips/0.wav": clip}))
    assert answer.status_code == 409
    assert "there is a corpus 'bells' already, with other content" in message(answer)
    assert left(world) == before
    assert (home(world) / "corpora/bells/clips/0.wav").read_bytes() == WAVES["clips/0.wav"]


def test_two_tenants_may_use_one_name(world: World) -> None:
    other = corpus(row("other", "clips/0.wav", licence="MIT"))
    mine, theirs = put(world, zipped(CORPUS)), put(world, zipped(other), who="stranger")
    assert (mine.status_code, theirs.status_code) == (201, 201)
    assert world.ask("GET", "/corpora/bells").json() == mine.json()
    assert world.ask("GET", "/corpora/bells", "stranger").json() == theirs.json()
    assert world.ask("DELETE", "/corpora/bells", "stranger").status_code == 200
    assert world.ask("GET", "/corpora/bells").json() == mine.json()
    assert (home(world) / "corpora/bells/train.jsonl").read_bytes() == CORPUS["train.jsonl"]


def test_a_strangers_corpus_is_missing_exactly_as_one_that_there_is_not(world: World) -> None:
    put(world, zipped(CORPUS))
    for method in ("GET", "DELETE"):
        there, nowhere = (world.ask(method, f"/corpora/{name}", "stranger") for name in ("bells", "knell"))
        assert (there.status_code, there.text.replace("bells", "knell")) == (404, nowhere.text)
    assert world.ask("GET", "/corpora", "stranger").json() == {"data": []}


# What an archive must not do


def link(name: str, target: str) -> bytes:
    """A zip archive with a symbolic link in it."""
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, 0o120777 << 16
    sink = io.BytesIO(zipped(CORPUS))
    with zipfile.ZipFile(sink, "a") as archive:
        archive.writestr(info, target)
    return sink.getvalue()


def encrypted() -> bytes:
    body = bytearray(zipped(CORPUS))
    at = body.index(b"PK\1\2")
    body[at + 8] |= 1
    return bytes(body)


def broken_clip() -> bytes:
    body = bytearray(zipped({**CORPUS, "clips/0.wav": b"x" * 1000}, zipfile.ZIP_STORED))
    at = body.index(b"x" * 1000)
    body[at + 5] ^= 1
    return bytes(body)


def audio(uri: str) -> bytes:
    return zipped(corpus(row("a", uri)))


def twice() -> bytes:
    sink = io.BytesIO(zipped(CORPUS))
    with zipfile.ZipFile(sink, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("clips/0.wav", b"other")
    return sink.getvalue()


HOSTILE: dict[str, tuple[str, bytes | Callable[[], bytes], str]] = {
    "above": (ZIP, zipped({**CORPUS, "../../music/corpora/x.wav": b"1"}), "leads out of it"),
    "above in tar": (TAR, tarred({**CORPUS, "clips/../../x.wav": b"1"}), "leads out of it"),
    "absolute": (TAR, tarred({**CORPUS, "/tmp/x.wav": b"1"}), "leads out of it"),
    "symbolic link out": (TAR, tarred(CORPUS, entry("clips/x.wav", tarfile.SYMTYPE, "/etc/passwd")), "is a link"),
    "symbolic link inside": (TAR, tarred(CORPUS, entry("clips/x.wav", tarfile.SYMTYPE, "0.wav")), "is a link"),
    "symbolic link in zip": (ZIP, link("clips/x.wav", "/etc/passwd"), "is a link"),
    "hard link": (TAR, tarred(CORPUS, entry("clips/x.wav", tarfile.LNKTYPE, "/etc/passwd")), "is a link"),
    "device": (TAR, tarred(CORPUS, entry("clips/x.wav", tarfile.CHRTYPE)), "is no plain file"),
    "pipe": (GZIP, tarred(CORPUS, entry("clips/x.wav", tarfile.FIFOTYPE), mode="w:gz"), "is no plain file"),
    "a file twice": (ZIP, twice, "more than once"),
    "a file as folder": (TAR, tarred({**CORPUS, "clips/0.wav/x": b"1"}), "more than once"),
    "a folder as file": (TAR, tarred({**CORPUS, "clips": b"1"}), "more than once"),
    "backslash": (TAR, tarred({**CORPUS, "..\\x.wav": b"1"}), "no portable name"),
    "control characters": (TAR, tarred({**CORPUS, "a\nb.wav": b"1"}), "no portable name"),
    "not UTF-8": (TAR, tarred({**CORPUS, "\udcff.wav": b"1"}), "no portable name"),
    "too deep": (TAR, tarred({**CORPUS, "d/" * 40 + "x": b"1"}), "too long or too deep"),
    "too long": (TAR, tarred({**CORPUS, "x" * 300: b"1"}), "too long or too deep"),
    "encrypted": (ZIP, encrypted, "is encrypted"),
    "unbounded method": (ZIP, zipped(CORPUS, zipfile.ZIP_BZIP2), "neither stored nor deflated"),
    "damaged clip": (ZIP, broken_clip, "'clips/0.wav' in the archive is damaged"),
    "cut off": (ZIP, zipped(CORPUS)[:-30], f"cannot be read as {ZIP}"),
    "cut off in a clip": (TAR, tarred(CORPUS)[:6000], "archive"),
    "cut off gzip": (GZIP, tarred(CORPUS, mode="w:gz")[:-20], "archive"),
    "nothing": (TAR, b"", f"cannot be read as {TAR}"),
    "another kind": (ZIP, tarred(CORPUS), f"cannot be read as {ZIP}"),
    "no manifest": (ZIP, zipped({"train.jsonl": b"{}"}), "validation.jsonl, test.jsonl missing"),
    "bad row": (ZIP, zipped({**CORPUS, "test.jsonl": b"{}\n"}), "test.jsonl line 1: messages: Field required"),
    "deep row": (ZIP, zipped({**CORPUS, "test.jsonl": b"[" * 100_000}), "nested too deeply"),
    "endless clip": (ZIP, zipped(corpus(row("a", "clips/0.wav", seconds=float("inf")))), "cannot be written as JSON"),
    "half a letter": (ZIP, zipped(corpus(row("a", "clips/0.wav", meta={"x": "\ud800"}))), "cannot be written as JSON"),
    "neighbour's clip": (ZIP, audio("../../music/corpora/bells/clips/0.wav"), "leads out of the corpus"),
    "absolute clip": (ZIP, audio("/etc/passwd"), "leads out of the corpus"),
    "s3": (ZIP, audio("s3://bucket/clip.wav"), "leads out of the corpus"),
    "http": (ZIP, audio("http://169.254.169.254/latest"), "leads out of the corpus"),
    "file": (ZIP, audio("file:///etc/passwd"), "leads out of the corpus"),
    "cell": (ZIP, audio("clips/0.wav.parquet#audio=0"), "cell of a Parquet file"),
    "missing clip": (ZIP, audio("clips/9.wav"), "train.jsonl, row 'a': audio 'clips/9.wav' is not in the corpus"),
    "clip of zero": (ZIP, audio("clips/0.wav\0"), "is not in the corpus"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_archive_is_refused_with_a_sentence_and_leaves_nothing(kept: World, case: str) -> None:
    world = kept
    kind, body, sentence = HOSTILE[case]
    answer = put(world, body if isinstance(body, bytes) else body(), kind=kind)
    assert answer.status_code == 422, answer.text
    assert sentence in message(answer)
    assert str(world.platform.storage.root) not in message(answer)
    assert left(world) == []
    assert counted(world) == 0
    assert world.ask("GET", "/corpora").json() == {"data": []}


def bomb(num_bytes: int) -> dict[str, bytes]:
    return {**CORPUS, "clips/bomb.wav": bytes(num_bytes)}


@pytest.mark.parametrize(("kind", "body"), [(ZIP, zipped(bomb(10**7))), (GZIP, tarred(bomb(10**7), mode="w:gz"))])
def test_a_bomb_stops_at_what_may_be_unpacked(kept: World, kind: str, body: bytes) -> None:
    assert len(body) < 20_000
    answer = put(bounded(kept, unpacked_bytes=2 * 10**6), body, kind=kind)
    assert answer.status_code == 413
    assert "an archive unpacks to at most 2,000,000 bytes" in message(answer)
    assert left(kept) == []


def test_sizes_that_lie_are_not_believed(kept: World) -> None:
    body = bytearray(zipped(bomb(10**7)))
    for mark, offset in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
        at = body.rindex(mark)
        struct.pack_into("<L", body, at + offset, 100)
    answer = put(bounded(kept, unpacked_bytes=2 * 10**6), bytes(body))
    assert answer.status_code == 422
    assert "'clips/bomb.wav' in the archive is damaged" in message(answer)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (ZIP, zipped({f"{number}": b"" for number in range(60)})),
        (TAR, tarred({f"{number}": b"" for number in range(60)})),
        (TAR, tarred({"/".join("abcdefghijklmnopqrstuv") + f"/{number}/x": b"" for number in range(20)})),
    ],
)
def test_a_million_tiny_files_stop_at_as_many_as_there_may_be(kept: World, kind: str, body: bytes) -> None:
    answer = put(bounded(kept, files=50), body, kind=kind)
    assert answer.status_code == 422
    assert "holds more than 50 files and folders" in message(answer)
    assert left(kept) == []


def test_a_table_of_contents_is_not_read_whatever_its_size(kept: World) -> None:
    names = {f"{number:0100}": b"" for number in range(9000)}
    answer = put(bounded(kept, files=50), zipped(names, zipfile.ZIP_STORED))
    assert answer.status_code == 422
    assert "table of contents of the archive is too large" in message(answer)


def test_a_header_that_unpacks_to_more_than_memory_is_not_read(kept: World) -> None:
    info = entry("pax", tarfile.XHDTYPE)
    info.size = 10**8
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w:gz") as archive:
        archive.addfile(info, io.BytesIO(bytes(10**8)))
    assert len(sink.getvalue()) < 200_000
    answer = put(kept, sink.getvalue(), kind=GZIP)
    assert answer.status_code == 422
    assert "holds a header of more than 4,194,304 bytes" in message(answer)


def test_another_content_type_is_named(kept: World) -> None:
    answer = put(kept, zipped(CORPUS), kind="multipart/form-data; boundary=x")
    assert answer.status_code == 415
    assert "application/zip, application/x-tar, application/gzip" in message(answer)


@pytest.mark.parametrize("name", ["..", ".bells", "a b", "x" * 64, "soundworld-mini", "soundworld-mini-1-abcdef12"])
def test_a_name_that_cannot_be_one_is_refused(kept: World, name: str) -> None:
    answer = kept.ask("POST", "/corpora", json={"name": name, "path": "x"})
    assert answer.status_code == 422
    assert left(kept) == []


# Limits


def pieces(body: bytes) -> Iterator[bytes]:
    """A body whose length nobody announced."""
    for start in range(0, len(body), 100_000):
        yield body[start : start + 100_000]


BIG = {**CORPUS, "clips/big.wav": os.urandom(3 * 10**6)}


def test_a_quota_that_is_too_small_for_what_is_announced_is_said_at_once(world: World) -> None:
    allow(world, 2 * 10**6)
    body = zipped(BIG)
    [start, end] = send(bounded(world, wrapping_bytes=0), [], **{"content-length": str(len(body))})
    assert start["status"] == 429
    assert json.loads(end["body"])["error"]["limit"]["wanted"] == len(body)
    assert left(world) == []


def test_a_quota_that_is_reached_ends_the_upload_with_its_figures(world: World) -> None:
    allow(world, 2 * 10**6)
    body = zipped(BIG)
    coming = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces(body)]
    [start, end] = send(bounded(world, wrapping_bytes=0), coming[:-5])
    assert start["status"] == 429
    error = json.loads(end["body"])["error"]
    limit = error["limit"]
    assert (limit["limit"], limit["allowed"], limit["used"]) == ("storage_bytes", 2 * 10**6, 0)
    assert 2 * 10**6 < limit["wanted"] < len(body)
    assert "2,000,000 bytes of storage; 0 used" in error["message"]
    assert left(world) == []
    [line] = world.ask("GET", "/audit", "admin", params={"outcome": "denied"}).json()["data"]
    assert (line["action"], line["target"]) == ("PUT /corpora/{corpus}", "corpus/bells")


def test_a_quota_that_holds_the_archive_and_not_its_content_is_reached_while_unpacking(world: World) -> None:
    allow(world, 2 * 10**6)
    answer = put(world, zipped(bomb(5 * 10**6)))
    assert answer.status_code == 429
    assert answer.json()["error"]["limit"]["wanted"] > 2 * 10**6
    assert left(world) == []


def test_removing_makes_room(world: World) -> None:
    allow(world, NUM_BYTES + 100)
    assert put(world, zipped(CORPUS)).status_code == 201
    denied = put(world, zipped(CORPUS), "more")
    assert denied.status_code == 429
    assert "frees when runs, models or corpora are removed" in message(denied)
    assert world.ask("DELETE", "/corpora/bells", "admin").status_code == 200
    assert counted(world) == 0
    assert put(world, zipped(CORPUS), "more").status_code == 201


def test_the_platform_has_a_maximum_of_its_own(world: World) -> None:
    for body in (zipped(CORPUS), pieces(zipped(CORPUS))):
        answer = put(bounded(world, archive_bytes=500), body)
        assert answer.status_code == 413
        assert "an upload has at most 500 bytes" in message(answer)
    assert left(world) == []


def test_the_meter_finds_what_uploads_and_removals_said(world: World) -> None:
    database, storage = world.platform.database, world.platform.storage
    put(world, zipped(CORPUS))
    assert measure(database, storage, "speech") == NUM_BYTES == counted(world)
    world.ask("DELETE", "/corpora/bells", "admin")
    assert measure(database, storage, "speech") == 0 == counted(world)


# What breaks off


def send(world: World, events: list[dict[str, Any]], **headers: str) -> list[dict[str, Any]]:
    """Speak to the application as a server does, event by event."""
    sent: list[dict[str, Any]] = []
    coming = iter(events)
    given = {"authorization": f"Bearer {world.keys['member']}", "content-type": ZIP, **headers}

    async def receive() -> dict[str, Any]:
        event = next(coming, None)
        return event if event is not None else await asyncio.sleep(3600)  # type: ignore[return-value]

    async def say(event: Mapping[str, Any]) -> None:
        sent.append(dict(event))

    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "PUT", "scheme": "http"}
    place = f"{PREFIX}/corpora/bells"
    scope |= {"path": place, "raw_path": place.encode(), "query_string": b"", "root_path": ""}
    scope |= {"headers": [(name.encode(), value.encode()) for name, value in given.items()]}
    asyncio.run(world.client.app(scope, receive, say))
    return sent


def test_a_body_that_is_cut_off_leaves_nothing(world: World) -> None:
    body = zipped(CORPUS)
    half = {"type": "http.request", "body": body[: len(body) // 2], "more_body": True}
    [start, _] = send(world, [half, {"type": "http.disconnect"}])
    assert start["status"] == 400
    assert left(world) == []
    assert put(world, body).status_code == 201


def test_a_body_that_stands_still_is_given_up(world: World) -> None:
    first = {"type": "http.request", "body": b"PK", "more_body": True}
    [start, _] = send(bounded(world, stall_s=0.01), [first])
    assert start["status"] == 408
    assert left(world) == []


def test_what_a_killed_upload_left_is_removed_by_the_next(world: World) -> None:
    dead = home(world) / "incoming" / "dead"
    (dead / "unpacked").mkdir(parents=True)
    (dead / "unpacked" / "x.wav").write_bytes(b"1")
    orphan = home(world) / "corpora" / "bells"  # a rename without its commit
    orphan.mkdir(parents=True)
    (orphan / "old.wav").write_bytes(b"1")
    assert put(world, zipped(CORPUS)).status_code == 201
    assert not dead.exists()
    assert not (orphan / "old.wav").exists()
    assert corpus_folder("bells", world.platform.storage.tenant("speech")) == orphan


def test_a_record_whose_files_are_gone_gets_them_back(world: World) -> None:
    put(world, zipped(CORPUS))
    (home(world) / "corpora" / "bells").rename(home(world) / "elsewhere")
    assert put(world, zipped(CORPUS)).status_code == 200
    assert (home(world) / "corpora" / "bells" / "train.jsonl").is_file()


def test_one_corpus_comes_at_a_time(world: World) -> None:
    put(world, zipped(CORPUS))
    with (home(world) / "incoming" / ".lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        answer = put(world, zipped(CORPUS), "second")
        assert answer.status_code == 409
        assert "another corpus of this tenant is on its way" in message(answer)
        assert put(world, zipped(CORPUS), "second", "stranger").status_code == 201
    assert put(world, zipped(CORPUS), "second").status_code == 201


# The inbox


def lay(world: World, files: Mapping[str, bytes], path: str = "big", tenant: str = "speech") -> Path:
    folder = home(world, tenant) / "inbox" / path
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def register(world: World, path: str, name: str = "bells", who: str = "member"):  # type: ignore[no-untyped-def]
    return world.ask("POST", "/corpora", who, json={"name": name, "path": path})


def test_a_folder_in_the_inbox_is_moved_to_the_corpora(world: World) -> None:
    folder = lay(world, CORPUS, "lab/big")
    answer = register(world, "lab/big")
    assert answer.status_code == 201, answer.text
    assert answer.json()["storage_bytes"] == NUM_BYTES == counted(world)
    assert not folder.exists()
    assert (home(world) / "corpora" / "bells" / "clips" / "2.wav").read_bytes() == WAVES["clips/2.wav"]
    again = register(world, "lab/big")
    assert again.status_code == 409


@pytest.mark.parametrize("path", ["", ".", "..", "/", "../corpora/bells", "/etc", "nothing", "a\0b", "x" * 300, "out"])
def test_a_path_that_leads_out_of_the_inbox_is_no_folder(world: World, path: str) -> None:
    lay(world, CORPUS, tenant="music")
    lay(world, CORPUS)
    put(world, zipped(CORPUS), "other")
    (home(world) / "inbox" / "out").symlink_to(home(world, "music") / "inbox" / "big")
    answer = register(world, path)
    assert answer.status_code == 422
    assert "in the inbox of the tenant's storage" in message(answer)
    assert [made["name"] for made in world.ask("GET", "/corpora").json()["data"]] == ["other"]


def test_a_link_in_a_folder_of_the_inbox_is_refused_and_the_folder_stays(world: World) -> None:
    folder = lay(world, CORPUS)
    (folder / "clips" / "0.wav").unlink()
    (folder / "clips" / "0.wav").symlink_to("/etc/passwd")
    answer = register(world, "big")
    assert answer.status_code == 422
    assert "'clips/0.wav' is a link" in message(answer)
    assert (folder / "train.jsonl").is_file()


def test_a_folder_that_is_more_than_the_quota_stays_in_the_inbox(world: World) -> None:
    folder = lay(world, CORPUS)
    allow(world, 100)
    answer = register(world, "big")
    assert answer.status_code == 429
    assert answer.json()["error"]["limit"]["wanted"] == NUM_BYTES
    assert (folder / "train.jsonl").is_file()


# Runs


def with_corpus(name: str) -> dict[str, Any]:
    return {**CONFIG, "corpus": {"name": name}}


def test_a_run_may_name_its_tenants_corpora_and_no_others(world: World) -> None:
    put(world, zipped(CORPUS))
    assert world.ask("POST", "/runs", json={"config": with_corpus("bells")}).status_code == 201
    answers = [
        world.ask("POST", "/runs", who, json={"config": with_corpus(name)})
        for who, name in (
            ("stranger", "bells"),
            ("stranger", "knell"),
            ("stranger", "speech/bells"),
            ("stranger", "speech/knell"),
        )
    ]
    assert {answer.status_code for answer in answers} == {422}
    assert len({message(answer).replace("bells", "knell").replace("speech/", "") for answer in answers}) == 1
    assert "corpus.name: no corpus 'bells'; give a built-in one (soundworld-mini)" in message(answers[0])


def test_a_corpus_that_a_run_needs_stays(world: World) -> None:
    put(world, zipped(CORPUS))
    run = world.ask("POST", "/runs", json={"config": with_corpus("bells")}).json()["id"]
    answer = world.ask("DELETE", "/corpora/bells", "admin")
    assert answer.status_code == 409
    assert f"run {run!r} needs it" in message(answer)
    assert (home(world) / "corpora" / "bells" / "train.jsonl").is_file()
    world.ask("POST", f"/runs/{run}/stop")
    assert world.ask("DELETE", "/corpora/bells", "admin").status_code == 200
    assert left(world) == []


def test_an_owner_says_whose(world: World) -> None:
    answer = world.ask(
        "PUT", "/corpora/bells?tenant=speech", "owner", content=zipped(CORPUS), headers={"content-type": ZIP}
    )
    assert answer.status_code == 201
    assert world.ask("GET", "/corpora?tenant=music", "owner").json() == {"data": []}
    assert len(world.ask("GET", "/corpora", "owner").json()["data"]) == 1
    nobody = world.ask("PUT", "/corpora/x?tenant=../..", "owner", content=zipped(CORPUS), headers={"content-type": ZIP})
    assert nobody.status_code == 404


def test_a_manifest_is_read_up_to_a_size(world: World) -> None:
    long = {**CORPUS, "train.jsonl": manifest(*(row(str(number), "clips/0.wav") for number in range(100)))}
    answer = put(bounded(world, manifest_bytes=1000), zipped(long))
    assert answer.status_code == 422
    assert "train.jsonl has" in message(answer)
