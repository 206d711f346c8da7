"""The same sound gives the same target wherever it lies: a file, a table, a Hugging Face dataset, an object store."""

import io

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from coat_ray.config import ExpertConfig, ResourcesConfig
from coat_ray.corpus.embedded import Columns, import_dataset, parquet_manifest
from coat_ray.corpus.manifest import ManifestError, read_manifest
from coat_ray.targets.corpus import clip_refs
from coat_ray.targets.encode import encode_corpus
from coat_ray.targets.plan import ClipRef
from coat_ray.targets.store import TargetStore

from .loudness import In, load

RATE = 16_000
EXPERTS = {"low": ExpertConfig(model="loudness16000")}
RESOURCES = ResourcesConfig(encode_actors=1, encode_cpus=0.5)


def flac(i: int) -> bytes:
    buffer, time = io.BytesIO(), np.arange(RATE // 2) / RATE
    soundfile.write(buffer, 0.3 * np.sin(2 * np.pi * 100 * (i + 1) * time), RATE, format="FLAC")
    return buffer.getvalue()


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"{i}.flac" for i in range(5)]
    for i, path in enumerate(paths):
        path.write_bytes(flac(i))
    return [str(path) for path in paths]


def encode(refs, store, loader=load):
    return encode_corpus(refs, EXPERTS, store, RESOURCES, load=loader)


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "speech.parquet"
    audio = [{"bytes": flac(i), "path": f"{i}.flac"} for i in range(5)]
    pq.write_table(pa.table({"audio": audio, "text": [f"word {i}" for i in range(5)]}), path, row_group_size=2)
    return path


def test_a_table_becomes_a_manifest_that_refers_to_its_cells(table):
    manifest = parquet_manifest(table, Columns(task="asr", licence="CC0-1.0"))
    row = manifest.rows[3]
    assert (row.id, row.audios, row.answer, row.task) == ("speech-3", ("speech.parquet#audio=3",), "word 3", "asr")


@pytest.mark.parametrize("columns", [Columns(audio="sound"), Columns(audio="text"), Columns(answer="transcript")])
def test_a_column_that_is_not_there_is_named(table, columns):
    with pytest.raises(ManifestError, match="column"):
        parquet_manifest(table, columns)


def hugging_face(rows):
    return datasets.Dataset.from_list(rows).cast_column("audio", datasets.Audio())


def test_a_hugging_face_dataset_becomes_a_split_without_decoding(tmp_path, files):
    rows = [{"audio": {"bytes": flac(i), "path": None}, "text": f"word {i}"} for i in range(3)]
    rows.append({"audio": {"bytes": None, "path": files[4]}, "text": "a file"})
    path = import_dataset(hugging_face(rows), tmp_path / "corpus", "train", Columns(task="asr"))
    manifest = read_manifest(path)
    assert [row.audios[0] for row in manifest.rows[:2]] == [f"clips-train-00000.parquet#audio={i}" for i in range(2)]
    assert manifest.rows[3].audios == (files[4],)
    assert [row.answer for row in manifest.rows] == ["word 0", "word 1", "word 2", "a file"]


def test_large_datasets_are_written_in_shards(tmp_path, monkeypatch):
    monkeypatch.setattr("coat_ray.corpus.embedded._SHARD_BYTES", 2 * len(flac(0)))
    rows = [{"audio": flac(0), "text": str(i)} for i in range(5)]
    manifest = read_manifest(import_dataset(rows, tmp_path, "test", Columns()))
    assert manifest.rows[4].audios == ("clips-test-00002.parquet#audio=0",)


def test_an_empty_dataset_and_one_without_audio_are_refused(tmp_path):
    with pytest.raises(ManifestError, match="no rows"):
        import_dataset([], tmp_path, "train", Columns())
    with pytest.raises(ManifestError, match="no column 'audio'"):
        import_dataset([{"sound": b""}], tmp_path, "train", Columns())


@pytest.mark.usefixtures("ray_cluster")
def test_embedded_clips_are_those_of_the_files_and_are_decoded_once(tmp_path, files, table):
    store = TargetStore(tmp_path / "targets")
    first = encode([ClipRef(uri) for uri in files], store)
    refs = list(clip_refs(parquet_manifest(table, Columns())))
    second = encode(refs, store)
    assert (first.experts["low"].stored, second.experts["low"].stored) == (5, 0)
    assert (second.decoded, second.experts["low"].present) == (5, 5)
    assert encode(refs, store).decoded == 0


@pytest.mark.usefixtures("ray_cluster")
def test_objects_in_a_store_are_encoded_once_and_what_is_missing_is_named(tmp_path, s3):
    store, loader = TargetStore(tmp_path / "targets"), In(s3.environment)
    for i in range(4):
        s3.client.put_object(Bucket="clips", Key=f"speech/{i}.flac", Body=flac(i))
    refs = [ClipRef(f"s3://clips/speech/{i}.flac") for i in range(5)]
    report = encode(refs, store, loader)
    assert (report.experts["low"].present, report.bad_files) == (4, 1)
    assert [(row.uri, row.reason) for row in report.quarantine] == [(refs[4].uri, "missing")]
    assert encode(refs[:4], store, loader).decoded == 0
    s3.client.put_object(Bucket="clips", Key="speech/0.flac", Body=flac(9))
    assert encode(refs[:4], store, loader).decoded == 1
