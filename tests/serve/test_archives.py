"""Damaged archives: whatever byte is wrong, the answer is a sentence. Hostile ones: test_corpora.py."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serve.archives import GZIP, TAR, ZIP, ArchiveError, unpack
from tests.serve.archives import corpus, tarred, zipped

FILES = corpus()
BODIES = [
    (ZIP, zipped(FILES)),
    (ZIP, zipped(FILES, zipfile.ZIP_STORED)),
    (TAR, tarred(FILES)),
    (TAR, tarred({"x" * 120: b"1", **FILES})),
    (GZIP, tarred(FILES, mode="w:gz")),
]
MOST = 10**6


def allow(num_bytes: int) -> None:
    if num_bytes > MOST:
        raise ArchiveError("too much")


def unpacked(kind: str, body: bytes, folder: Path) -> None:
    archive, target = folder / "archive", folder / "target"
    archive.write_bytes(body)
    target.mkdir()
    unpack(archive, kind, target, max_files=50, allow=allow)


def refusal(kind: str, body: bytes, folder: Path) -> str:
    """Why it was not unpacked; nothing where it was."""
    try:
        unpacked(kind, body, folder)
    except ArchiveError as problem:
        return str(problem)
    return ""


@pytest.mark.parametrize(("kind", "body"), BODIES)
@settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_damaged_archive_is_unpacked_inside_or_refused(kind: str, body: bytes, data: st.DataObject) -> None:
    damaged = bytearray(body)
    headers = st.integers(max(0, len(body) - 500), len(body) - 1) | st.integers(0, 300)
    for at, byte in data.draw(st.lists(st.tuples(headers | st.integers(0, len(body) - 1), st.integers(0, 255)))):
        damaged[at] = byte
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        assert refusal(kind, bytes(damaged), folder).isprintable()
        assert {path.name for path in folder.iterdir()} == {"archive", "target"}
        assert not any(path.is_symlink() for path in folder.rglob("*"))


def test_an_entry_without_a_name_is_refused(tmp_path: Path) -> None:
    body = bytearray(zipped({"x": b"1"}))
    for mark, offset in ((b"PK\3\4", 30), (b"PK\1\2", 46)):
        body[body.index(mark) + offset] = 0
    with pytest.raises(ArchiveError, match="cannot be read as application/zip"):
        unpacked(ZIP, bytes(body), tmp_path)
