"""Audio is read from disk, cells of Parquet files and object stores, within limits and with clear refusals."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from coat_ray.audio import AudioError, AudioLimits, cells, load_audio
from coat_ray.audio.cells import cell_uri
from coat_ray.audio.places import explained
from coat_ray.audio.states import UNKNOWN, source_states

from ..objects import ObjectStore

RATE = 16_000


def flac(hertz: float, seconds: float = 0.2) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(
        buffer, 0.3 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE), RATE, format="FLAC"
    )
    return buffer.getvalue()


def refusal(source: str | Path, limits: AudioLimits = AudioLimits()) -> AudioError:  # noqa: B008 - frozen
    with pytest.raises(AudioError) as caught:
        load_audio(source, RATE, limits)
    return caught.value


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    (tmp_path / "beside.flac").write_bytes(flac(900))
    cells = [{"bytes": flac(100 * (i + 1)), "path": None} for i in range(10)]
    cells += [{"bytes": None, "path": "beside.flac"}, {"bytes": None, "path": None}, {"bytes": b"", "path": None}]
    table = pa.table({"audio": cells, "raw": [cell["bytes"] for cell in cells], "text": ["x"] * len(cells)})
    pq.write_table(table, tmp_path / "clips.parquet", row_group_size=4)
    return tmp_path / "clips.parquet"


@pytest.mark.parametrize("column", ["audio", "raw"])
@pytest.mark.parametrize("row", [0, 3, 4, 9])
def test_a_cell_of_a_parquet_file_is_a_clip(clips: Path, column: str, row: int) -> None:
    expected = load_audio(flac(100 * (row + 1)), RATE)
    np.testing.assert_array_equal(load_audio(cell_uri(clips, column, row), RATE), expected)


def test_a_cell_may_name_a_file_beside_its_table(clips: Path) -> None:
    np.testing.assert_array_equal(load_audio(cell_uri(clips, "audio", 10), RATE), load_audio(flac(900), RATE))


@pytest.mark.parametrize(
    ("column", "row", "reason", "word"),
    [
        ("audio", 11, "missing", "holds no audio"),
        ("audio", 12, "empty", "0 bytes"),
        ("audio", 13, "missing", "13 rows"),
        ("sound", 0, "missing", "sound"),
        ("text", 0, "missing", "holds no audio"),
    ],
)
def test_a_cell_without_audio_says_so(clips: Path, column: str, row: int, reason: str, word: str) -> None:
    error = refusal(cell_uri(clips, column, row))
    assert error.reason == reason
    assert word in str(error)


def test_a_cell_keeps_to_the_limits(clips: Path) -> None:
    error = refusal(cell_uri(clips, "audio", 0), AudioLimits(max_bytes=100))
    assert error.reason == "too_large"
    assert cell_uri(clips, "audio", 0) in str(error)


def test_a_cell_that_names_a_cell_is_not_followed(tmp_path: Path) -> None:
    cells_in_a_ring = [{"bytes": None, "path": "ring.parquet#audio=0"}]
    pq.write_table(pa.table({"audio": cells_in_a_ring}), tmp_path / "ring.parquet")
    assert refusal(cell_uri(tmp_path / "ring.parquet", "audio", 0)).reason == "missing"


def test_a_row_group_that_would_fill_the_memory_is_refused(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "MAX_GROUP_BYTES", 100)
    assert refusal(cell_uri(clips, "audio", 1)).reason == "too_large"


def test_a_cell_changes_with_its_file(clips: Path) -> None:
    uri = cell_uri(clips, "audio", 0)
    load_audio(uri, RATE)
    pq.write_table(pa.table({"audio": [{"bytes": flac(555), "path": None}]}), clips)
    np.testing.assert_array_equal(load_audio(uri, RATE), load_audio(flac(555), RATE))


def test_the_state_of_a_cell_is_that_of_its_file(clips: Path) -> None:
    cell, other = cell_uri(clips, "audio", 0), cell_uri(clips, "audio", 5)
    states = source_states([cell, other, str(clips), "/nowhere.wav"])
    assert states[cell] == states[other] == states[str(clips)]
    assert states[cell][0] == clips.stat().st_size
    assert states["/nowhere.wav"] == UNKNOWN


@pytest.fixture(scope="module")
def objects(s3: ObjectStore) -> None:
    for i in range(12):
        s3.client.put_object(Bucket="clips", Key=f"many/{i}.flac", Body=flac(100 * (i + 1)))
    s3.client.put_object(Bucket="clips", Key="empty.wav", Body=b"")
    s3.client.put_object(Bucket="clips", Key='odd "name" +%20.flac', Body=flac(50))


def test_an_object_is_a_clip(objects: None) -> None:
    np.testing.assert_array_equal(load_audio("s3://clips/many/3.flac", RATE), load_audio(flac(400), RATE))
    np.testing.assert_array_equal(load_audio('s3://clips/odd "name" +%20.flac', RATE), load_audio(flac(50), RATE))


@pytest.mark.parametrize(
    ("key", "reason"), [("clips/none.wav", "missing"), ("clips/many", "missing"), ("nobucket/a.wav", "missing")]
)
def test_an_object_that_is_not_there_is_missing(objects: None, key: str, reason: str) -> None:
    error = refusal(f"s3://{key}")
    assert error.reason == reason
    assert key in str(error)


def test_an_empty_object_and_a_large_one_are_refused_before_they_are_read(objects: None) -> None:
    assert refusal("s3://clips/empty.wav").reason == "empty"
    assert refusal("s3://clips/many/0.flac", AudioLimits(max_bytes=100)).reason == "too_large"


def test_objects_tell_size_and_time_whether_they_are_listed_or_asked(objects: None) -> None:
    many = [f"s3://clips/many/{i}.flac" for i in range(12)]
    listed = source_states([*many, "s3://clips/many/none.flac"])
    asked = source_states([many[0], "s3://clips/none.flac", "s3://nobucket/a.flac"])
    assert listed["s3://clips/many/none.flac"] == asked["s3://clips/none.flac"] == UNKNOWN
    assert asked["s3://nobucket/a.flac"] == UNKNOWN
    assert listed[many[0]] == asked[many[0]]
    assert listed[many[3]][0] == len(flac(400))


def test_a_store_that_does_not_answer_is_unreachable(s3: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert refusal("s3://clips/many/1.flac").reason == "unreachable"


def test_a_refusal_by_the_store_says_whether_credentials_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    denied = OSError("When reading information for key 'a' in bucket 'b': AWS Error ACCESS_DENIED during HeadObject")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    assert explained("s3://b/a", denied).reason == "no_credentials"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "me")
    assert explained("s3://b/a", denied).reason == "no_permission"
    assert explained("/a.wav", PermissionError(13, "Permission denied")).reason == "no_permission"
