"""Manifests read alike from JSONL and Parquet, and a bad row is found by its number."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from coat_ray.corpus.manifest import ManifestError, Message, Row, read_manifest, write_manifest


def conversation(question: str = "<audio>\nwhat is said?", answer: str = "hello") -> list[dict[str, str]]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def good(name: str = "one", **more: object) -> dict[str, object]:
    return {"id": name, "messages": conversation(), "audios": ["clips/one.wav"], **more}


def jsonl(tmp_path: Path, *rows: object) -> Path:
    path = tmp_path / "train.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def failure(path: Path) -> str:
    with pytest.raises(ManifestError) as caught:
        read_manifest(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def rows() -> list[Row]:
    return [
        Row.model_validate(good("a", task="asr", seconds=1.5, licence="CC0-1.0", meta={"kind": "speech", "n": 3})),
        Row.model_validate(good("b", audios=["s3://bucket/b.flac"], dataset="elsewhere")),
        Row.model_validate({"id": "c", "messages": conversation("count to two", "one two"), "task": "text"}),
    ]


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_what_is_written_is_read_again(tmp_path: Path, ending: str) -> None:
    write_manifest(rows(), tmp_path / f"m.{ending}")
    assert list(read_manifest(tmp_path / f"m.{ending}").rows) == rows()


def test_the_fingerprint_depends_on_rows_and_order_but_not_on_folder_or_format(tmp_path: Path) -> None:
    paths = [tmp_path / "a.jsonl", tmp_path / "b.parquet", tmp_path / "elsewhere" / "c.jsonl"]
    for path in paths:
        write_manifest(rows(), path)
    prints = {read_manifest(path).fingerprint for path in paths}
    assert len(prints) == 1
    write_manifest(rows()[::-1], paths[0])
    assert read_manifest(paths[0]).fingerprint not in prints
    write_manifest([*rows()[:2], rows()[2].model_copy(update={"task": "asr"})], paths[0])
    assert read_manifest(paths[0]).fingerprint not in prints


def test_rows_of_other_toolkits_load_unchanged(tmp_path: Path) -> None:
    swift = {
        "messages": [
            {"role": "system", "content": "be brief"},
            *conversation("<audio><audio>which is louder?", "the first"),
        ],
        "audios": ["/data/a.wav", "https://example.com/b.wav"],
        "channel": "music",
    }
    single = {"messages": conversation(), "audios": "/data/a.wav", "images": None}
    table = pa.Table.from_pylist([{"messages": conversation(), "audios": ["x.wav"], "extra": 1}])
    pq.write_table(table, tmp_path / "peer.parquet")
    manifest = read_manifest(jsonl(tmp_path, swift, single))
    assert [row.id for row in manifest.rows] == ["train-1", "train-2"]
    assert manifest.rows[0].prompt[0] == Message(role="system", content="be brief")
    assert manifest.rows[0].answer == "the first"
    assert manifest.rows[1].audios == ("/data/a.wav",)
    assert read_manifest(tmp_path / "peer.parquet").rows[0].audios == ("x.wav",)


def test_relative_clips_lie_beside_the_manifest(tmp_path: Path) -> None:
    manifest = read_manifest(jsonl(tmp_path, good()))
    assert manifest.resolve("clips/one.wav") == tmp_path / "clips/one.wav"
    assert manifest.resolve("/data/a.wav") == Path("/data/a.wav")
    assert manifest.resolve("s3://bucket/b.flac") == "s3://bucket/b.flac"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (good(audios=[]), "1 <audio> marks in the messages, but 0 audios"),
        (good(audios=["a", "b"]), "1 <audio> marks in the messages, but 2 audios"),
        (good(messages=conversation()[:1]), "messages"),
        (good(messages=conversation()[::-1]), "the last message must be the assistant's answer"),
        (good(messages=conversation(answer=" ")), "the last message must be the assistant's answer"),
        (good(messages=conversation("hm?", "<audio>")), "clips belong to the user's turns"),
        (good(messages=[{"role": "robot", "content": "<audio>"}, *conversation("")]), "messages.0.role"),
        (good(task="dancing"), "task"),
        (good(seconds=-1), "seconds"),
        (good("one"), "id 'one' was used before, in 1"),
        (["no", "object"], "expected an object"),
    ],
)
def test_a_bad_row_is_named_by_its_line(tmp_path: Path, row: object, message: str) -> None:
    said = failure(jsonl(tmp_path, good("one"), row))
    assert "line 2" in said
    assert message in said


def test_broken_json_is_named_by_its_line_and_blank_lines_count(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text(json.dumps(good()) + "\n\n{broken\n")
    assert "line 3: not JSON" in failure(path)


def test_a_bad_parquet_row_is_named_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    pq.write_table(pa.Table.from_pylist([good("a"), good("b", audios=[])]), path)
    assert "row 2" in failure(path)
    pq.write_table(pa.Table.from_pylist([good("a", meta="{broken")]), path)
    assert "row 1: meta is not JSON" in failure(path)


def test_files_that_are_no_manifest_are_refused(tmp_path: Path) -> None:
    assert "no manifest" in failure(tmp_path / "nothing.jsonl")
    assert "holds no rows" in failure(jsonl(tmp_path))
    (tmp_path / "m.csv").touch()
    assert ".jsonl or .parquet" in failure(tmp_path / "m.csv")
    (tmp_path / "m.parquet").write_text("no parquet")
    assert "not a readable Parquet file" in failure(tmp_path / "m.parquet")
    with pytest.raises(ManifestError, match=r"\.jsonl or \.parquet"):
        write_manifest(rows(), tmp_path / "m.csv")
