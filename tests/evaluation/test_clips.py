"""What is known of clips is shared by every evaluation of the same data, and survives whoever writes it."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Thread

import pytest

from coat_ray.corpus.manifest import Manifest, Message, Row
from coat_ray.evaluation import clips
from coat_ray.evaluation.clips import inspect_clips
from tests.evaluation.benchmarks.datasets_of_ours import wav

COUNT = 3


@pytest.fixture
def manifest(tmp_path) -> Manifest:
    """Three clips, each asked about once."""
    turns = (Message(role="user", content="<audio>\nwhich note?"), Message(role="assistant", content="a"))
    for number in range(COUNT):
        (tmp_path / f"{number}.wav").write_bytes(wav(number))
    rows = tuple(Row(id=f"r{number}", messages=turns, audios=(f"{number}.wav",)) for number in range(COUNT))
    return Manifest(rows, tmp_path)


@pytest.fixture
def decoded(monkeypatch) -> list[str]:
    """Names of the files that were decoded, in order."""
    names: list[str] = []
    load = clips.load_audio

    def counted(path, *arguments):
        names.append(Path(path).name)
        return load(path, *arguments)

    monkeypatch.setattr(clips, "load_audio", counted)
    return names


def test_two_looks_at_once_decode_each_clip_once(manifest, decoded, monkeypatch, tmp_path) -> None:
    found, counted = [], clips.load_audio
    second = Thread(target=lambda: found.append(inspect_clips(manifest, tmp_path / "cache")))

    def joined_by_another(*arguments):
        if not second.ident:
            second.start()
            second.join(0.5)
        return counted(*arguments)

    monkeypatch.setattr(clips, "load_audio", joined_by_another)
    first = inspect_clips(manifest, tmp_path / "cache")
    second.join()
    assert found == [first]
    assert decoded == [f"{number}.wav" for number in range(COUNT)]
    (file,) = (tmp_path / "cache").iterdir()
    assert [json.loads(line)["uri"] for line in file.read_text().splitlines()] == decoded


@pytest.mark.parametrize(
    "damage", [b'{"uri": "0.w', b'{"uri": "0.w{"uri": "1.wav"}\n', b'{"url": "0.wav"}\n', b"\xff\n"]
)
def test_what_cannot_be_read_of_the_file_is_looked_at_again(manifest, decoded, tmp_path, damage) -> None:
    whole = inspect_clips(manifest, tmp_path / "cache")
    (file,) = (tmp_path / "cache").iterdir()
    lines = file.read_bytes().splitlines(keepends=True)
    left = lines[2] + damage
    file.write_bytes(left)
    decoded.clear()
    for _ in range(2):
        assert inspect_clips(manifest, tmp_path / "cache") == whole
    assert decoded == ["0.wav", "1.wav"]
    assert file.read_bytes().startswith(left)
