"""A checkpoint arrives whole and verified, or not at all, and the message says what to do."""

import fcntl
import hashlib
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from coat_ray.experts import download
from coat_ray.experts.base import OfficialWeights
from coat_ray.experts.download import DownloadError, copy_from, fetch
from tests.experts.server import serving

CONTENT = np.random.default_rng(0).bytes(3 * 2**20 + 17)
SIZE = len(CONTENT)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server():
    with serving(CONTENT) as running:
        yield running


@pytest.fixture
def target(tmp_path):
    return tmp_path / "cache" / "model.pt"


@pytest.fixture
def part(target):
    return target.with_name("model.pt.part")


def published(server, size=SIZE, sha256=SHA256):
    return OfficialWeights("model.pt", server.url, "MIT", size, sha256)


def nothing(done, total):
    """No progress bar."""


def left(target):
    return sorted(path.name for path in target.parent.iterdir())


def test_a_file_arrives_whole_with_its_progress(server, target):
    seen = []
    assert fetch(published(server), target, lambda done, total: seen.append((done, total))) == SHA256
    assert target.read_bytes() == CONTENT
    assert left(target) == ["model.pt"]
    assert seen[0] == (0, len(CONTENT))
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert seen == sorted(seen)


@pytest.mark.parametrize("size", [len(CONTENT), None], ids=["size known", "size unknown"])
def test_a_cut_connection_keeps_what_arrived_and_the_next_attempt_asks_for_the_rest(server, target, part, size):
    official = published(server, size, SHA256 if size else None)
    server.cut = 2**20
    with pytest.raises(DownloadError, match=r"ended after 1,048,576 bytes .* run it again to resume"):
        fetch(official, target, nothing)
    assert left(target) == ["model.pt.part"]
    assert part.read_bytes() == CONTENT[: 2**20]
    server.cut = None
    seen = []
    assert fetch(official, target, lambda done, total: seen.append((done, total))) == SHA256
    assert server.asked == [None, "bytes=1048576-"]
    assert seen[0] == (2**20, len(CONTENT))
    assert target.read_bytes() == CONTENT
    assert left(target) == ["model.pt"]


def test_a_server_without_ranges_starts_over(server, target, part):
    part.parent.mkdir()
    part.write_bytes(b"x" * 1000)
    server.ranges = False
    fetch(published(server), target, nothing)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("size", [len(CONTENT), None], ids=["size known", "size unknown"])
def test_what_had_arrived_whole_only_needs_its_name(server, target, part, size):
    part.parent.mkdir()
    part.write_bytes(CONTENT)
    fetch(published(server, size), target, nothing)
    assert server.asked == ([] if size else [f"bytes={len(CONTENT)}-"])
    assert left(target) == ["model.pt"]


def test_a_part_longer_than_the_file_is_dropped(server, target, part):
    part.parent.mkdir()
    part.write_bytes(CONTENT + b"more")
    with pytest.raises(DownloadError, match="longer than the file and is removed; run it again"):
        fetch(published(server), target, nothing)
    fetch(published(server), target, nothing)
    assert target.read_bytes() == CONTENT


def test_a_wrong_digest_removes_the_file(server, target):
    with pytest.raises(DownloadError, match=f"has sha256 {SHA256} instead of {'0' * 64}; it is removed, run it again"):
        fetch(published(server, sha256="0" * 64), target, nothing)
    assert left(target) == []


def test_a_bad_beginning_is_found_at_the_end(server, target, part):
    part.parent.mkdir()
    part.write_bytes(b"x" * 1000)
    with pytest.raises(DownloadError, match="it is removed"):
        fetch(published(server), target, nothing)
    assert left(target) == []


def test_another_file_at_the_address_is_refused_before_it_is_read(server, target):
    with pytest.raises(DownloadError, match=r"offers 3,145,745 bytes instead of 99: it is another file"):
        fetch(published(server, size=99), target, nothing)
    assert left(target) == []


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (404, r"there is no file at http.* \(HTTP 404\); bring it with --from FOLDER"),
        (503, "answered HTTP 503; run it"),
    ],
)
def test_an_answer_without_the_file_is_said(server, target, status, sentence):
    server.status = status
    with pytest.raises(DownloadError, match=sentence):
        fetch(published(server), target, nothing)
    assert left(target) == []


def test_without_a_connection_the_other_way_is_named(server, target):
    official = OfficialWeights("model.pt", "http://127.0.0.1:9/file", "MIT")
    with pytest.raises(
        DownloadError, match=r"no connection to 127\.0\.0\.1:9; run it again, or bring .* --from FOLDER"
    ):
        fetch(official, target, nothing)


@pytest.fixture
def full_disk(monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(total=10**9, free=1000))


@pytest.mark.usefixtures("full_disk")
def test_without_space_nothing_is_written(server, target, tmp_path):
    sentence = r"no space in .*: 3,145,745 bytes are needed and 1,000 are free; make room, or set COAT_HOME"
    with pytest.raises(DownloadError, match=sentence):
        fetch(published(server), target, nothing)
    (tmp_path / "model.pt").write_bytes(CONTENT)
    with pytest.raises(DownloadError, match=sentence):
        copy_from(tmp_path, published(server), target, nothing)
    assert left(target) == []


@pytest.mark.usefixtures("full_disk")
def test_only_what_is_missing_needs_space(server, target, part):
    part.parent.mkdir()
    part.write_bytes(CONTENT[:-999])
    fetch(published(server), target, nothing)
    assert target.read_bytes() == CONTENT


def test_a_disk_that_fills_up_keeps_what_arrived(server, target, part, monkeypatch):
    class Full:
        name = str(part)

        def write(self, chunk):
            raise OSError(28, "No space left on device")

    with pytest.raises(DownloadError, match="No space left on device; what arrived is kept"):
        download._write(Full(), [b"chunk"], 0, None, nothing)


def test_one_process_fetches_at_a_time(server, target, part):
    part.parent.mkdir()
    with part.open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(DownloadError, match=r"another process is fetching model\.pt"):
            fetch(published(server), target, nothing)


def test_a_folder_is_as_good_as_a_server(server, target, tmp_path):
    (tmp_path / "model.pt").write_bytes(CONTENT)
    assert copy_from(tmp_path, published(server), target, nothing) == SHA256
    assert target.read_bytes() == CONTENT
    assert left(target) == ["model.pt"]
    assert server.asked == []


def test_a_folder_without_the_file_names_it_and_its_address(server, target, tmp_path):
    with pytest.raises(DownloadError, match=f"no model.pt in .*; download it from {server.url}"):
        copy_from(tmp_path, published(server), target, nothing)


def test_a_damaged_file_of_a_folder_does_not_get_in(server, target, tmp_path):
    (tmp_path / "model.pt").write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(DownloadError, match="instead of"):
        copy_from(tmp_path, published(server), target, nothing)
    assert left(target) == []
    assert (tmp_path / "model.pt").is_file()
