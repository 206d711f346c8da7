"""Audio embedded in tables: Parquet with a column of bytes, and Hugging Face ``datasets`` with an audio column.

Parquet is used where it lies: a row's clip is named by its cell (``clips.parquet#audio=12``). A Hugging Face dataset is
written out as such Parquet, encoded as it came, and a manifest beside it; both are read by everything that reads files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from coat_ray.audio.cells import cell_uri
from coat_ray.corpus.manifest import AUDIO_MARK, Manifest, ManifestError, Message, Row, Task, write_manifest
from coat_ray.storage import atomic_write

AUDIO_TYPE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
"""How Hugging Face ``datasets`` stores a clip: its encoded bytes, or a path, or both."""

_GROUP_ROWS = 16  # reading one clip loads its row group
_SHARD_BYTES = 256 * 2**20


class RowMaker(Protocol):
    """Makes a manifest row of a row of a dataset."""

    @property
    def audio(self) -> str:
        """The column that holds the clip."""
        ...

    def row(self, data: Mapping[str, Any], name: str, audio: str) -> Row:
        """The manifest row of *data*, called *name* where it has no name of its own, with its clip at *audio*."""
        ...


@dataclass(frozen=True)
class Columns:
    """Which columns make a conversation; None where there is none.

    Either ``messages`` (chat roles, ``<audio>`` marks), or ``answer`` to the fixed question ``prompt``.
    """

    audio: str = "audio"
    answer: str = "text"
    prompt: str = f"{AUDIO_MARK}\nTranscribe the speech."
    messages: str | None = None
    id: str | None = None
    task: Task | None = None
    dataset: str | None = None
    licence: str | None = None

    def row(self, data: Mapping[str, Any], name: str, audio: str) -> Row:
        """The manifest row of *data*, with its clip at *audio*; *name* where no column holds an id.

        Raises:
            ManifestError: a column that is not there, or messages that make no conversation.
        """
        try:
            if self.messages is None:
                asked = Message(role="user", content=self.prompt)
                messages: Any = (asked, Message(role="assistant", content=str(data[self.answer])))
            else:
                messages = data[self.messages]
            return Row.model_validate(
                {
                    "id": name if self.id is None else data[self.id],
                    "messages": messages,
                    "audios": (audio,),
                    "task": self.task,
                    "dataset": self.dataset,
                    "licence": self.licence,
                }
            )
        except KeyError as error:
            raise ManifestError(f"row {name}: no column {error}; there are {', '.join(sorted(data))}") from error
        except ValueError as error:
            raise ManifestError(f"row {name}: {error}") from error


def parquet_manifest(path: Path, columns: RowMaker) -> Manifest:
    """A manifest over a Parquet file with embedded audio; the audio itself is not read.

    Raises:
        ManifestError: not Parquet, a column that is missing, or a row that is no conversation.
    """
    try:
        schema = pq.read_schema(path)
        held = [name for name in schema.names if name != columns.audio]
        table = pq.read_table(path, columns=held)
    except (pa.ArrowException, OSError) as error:
        raise ManifestError(f"{path} is not a readable Parquet file ({error})") from error
    if not is_audio_column(schema, columns.audio):
        raise ManifestError(f"{path} has no column {columns.audio!r} of bytes; there are {', '.join(schema.names)}")
    rows = (
        columns.row(data, f"{path.stem}-{number}", cell_uri(path.name, columns.audio, number))
        for number, data in enumerate(table.to_pylist())
    )
    return Manifest(tuple(rows), path.parent)


def is_audio_column(schema: pa.Schema, name: str) -> bool:
    """Whether a column holds encoded audio: bytes, or a struct with a field ``bytes``."""
    if name not in schema.names:
        return False
    kind = schema.field(name).type
    return (
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or (pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0)
    )


def import_dataset(dataset: Any, folder: Path, split: str, columns: RowMaker) -> Path:
    """Write a Hugging Face dataset (or any iterable of rows) as one split of a corpus in *folder*.

    Nothing is decoded: audio columns are read as bytes. A clip that is only a path on this machine stays where it is.

    Args:
        dataset: ``datasets.Dataset`` or ``IterableDataset``, or mappings with ``{"bytes", "path"}`` as audio.
        folder: the corpus; made where it is missing.
        split: train, validation or test.
        columns: which columns make a conversation.

    Returns:
        The manifest ``<split>.jsonl``.

    Raises:
        ManifestError: a row that is no conversation, or no rows.
    """
    rows: list[Row] = []
    shards = (f"clips-{split}-{number:05d}.parquet" for number in count())
    for shard in _shards(_undecoded(dataset, columns.audio), columns.audio):
        name = next(shards)
        clips = [_clip(data[columns.audio]) for data in shard]
        _write_clips(folder / name, clips)
        for place, (data, clip) in enumerate(zip(shard, clips, strict=True)):
            rows.append(columns.row(data, f"{split}-{len(rows)}", _uri(clip, name, place)))
    if not rows:
        raise ManifestError(f"the dataset for {split} holds no rows")
    path = folder / f"{split}.jsonl"
    write_manifest(rows, path)
    return path


def _undecoded(dataset: Any, column: str) -> Iterable[Mapping[str, Any]]:
    if not hasattr(dataset, "cast_column"):
        return dataset
    from datasets import Audio  # noqa: PLC0415 - the extra coat-ray[hf]; who has a dataset has it

    return dataset.cast_column(column, Audio(decode=False))


def _shards(rows: Iterable[Mapping[str, Any]], column: str) -> Iterator[list[Mapping[str, Any]]]:
    """Rows in groups of about ``_SHARD_BYTES`` of audio."""
    shard: list[Mapping[str, Any]] = []
    size = 0
    for row in rows:
        if column not in row:
            raise ManifestError(f"the dataset has no column {column!r}; there are {', '.join(sorted(row))}")
        shard.append(row)
        size += len(_clip(row[column])["bytes"] or b"")
        if size >= _SHARD_BYTES:
            yield shard
            shard, size = [], 0
    if shard:
        yield shard


def _clip(value: Any) -> dict[str, Any]:
    if isinstance(value, bytes):
        return {"bytes": value, "path": None}
    if isinstance(value, str):
        return {"bytes": None, "path": value}
    return {"bytes": None, "path": None} | {key: value[key] for key in ("bytes", "path") if value and key in value}


def _uri(clip: Mapping[str, Any], shard: str, place: int) -> str:
    if clip["bytes"] is None and clip["path"]:
        return clip["path"] if "://" in clip["path"] else str(Path(clip["path"]).absolute())
    return cell_uri(shard, "audio", place)  # empty where there is neither: decoding says so


def _write_clips(path: Path, clips: list[dict[str, Any]]) -> None:
    sink = pa.BufferOutputStream()
    table = pa.table({"audio": pa.array(clips, AUDIO_TYPE)})
    pq.write_table(table, sink, row_group_size=_GROUP_ROWS, compression="none")  # the audio is compressed already
    atomic_write(path, sink.getvalue().to_pybytes())
