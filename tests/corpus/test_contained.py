"""What a corpus folder says about itself, and what may not be in it. Hostile ones: tests/serve/test_corpora.py."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from coat_ray.corpus.builtin import corpus_folder
from coat_ray.corpus.contained import inspect_folder
from coat_ray.corpus.manifest import ManifestError
from coat_ray.storage import Storage
from tests.serve.archives import corpus, manifest, row


def laid(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def test_a_folder_says_what_it_holds(tmp_path: Path) -> None:
    files = corpus(
        row("a", "clips/0.wav", "clips/1.wav", licence="CC0-1.0", seconds=3),
        row("b", "clips/0.wav", "clips/1.wav", licence="MIT", seconds=3),
        row("text only"),
    )
    found = inspect_folder(laid(tmp_path, files))
    assert (found.rows, found.audio_seconds, found.licences) == (5, 5.5, ("CC0-1.0", "MIT", None))
    assert found.num_bytes == sum(map(len, files.values()))


def test_the_fingerprint_is_of_the_rows_wherever_they_lie(tmp_path: Path) -> None:
    one, other = (inspect_folder(laid(tmp_path / name, corpus())) for name in ("one", "other"))
    changed = inspect_folder(laid(tmp_path / "changed", corpus(row("a", "clips/1.wav"))))
    assert one == other
    assert one.fingerprint != changed.fingerprint


def test_the_shipped_corpus_stands_for_itself(tmp_path: Path) -> None:
    found = inspect_folder(corpus_folder("soundworld-mini", Storage(tmp_path)))
    assert found.rows > 1000
    assert None not in found.licences


@pytest.mark.parametrize("make", [lambda path: path.symlink_to("0.wav"), os.mkfifo])
def test_whatever_is_no_plain_file_is_named(tmp_path: Path, make) -> None:  # type: ignore[no-untyped-def]
    make(laid(tmp_path, corpus()) / "clips" / "x.wav")
    with pytest.raises(ManifestError, match=r"'clips/x\.wav' is (a link|no plain file); a corpus holds files"):
        inspect_folder(tmp_path)


def test_errors_name_files_as_the_sender_knows_them(tmp_path: Path) -> None:
    laid(tmp_path, {**corpus(), "validation.jsonl": manifest(row("a"), row("a"))})
    with pytest.raises(ManifestError) as problem:
        inspect_folder(tmp_path)
    assert str(problem.value) == "validation.jsonl line 2: id 'a' was used before, in 1"
