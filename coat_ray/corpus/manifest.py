"""Manifests: one conversation per row, in the message format of ms-swift and LLaMA-Factory.

A row names its clips in ``audios``: paths relative to the manifest, absolute paths, URIs, or cells of a Parquet file
(``clips.parquet#audio=12``). Every ``<audio>`` mark in the messages stands for the next of them. The last message is
the assistant's reference answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from coat_ray.provenance import fingerprint
from coat_ray.storage import atomic_write

AUDIO_MARK = "<audio>"
Task = Literal["asr", "audio_qa", "speech_qa", "caption", "multiple_choice", "music", "spoken_instruction", "text"]


class ManifestError(ValueError):
    """A manifest that cannot be used; the message names the file and the line or row."""


class Message(BaseModel):
    """One turn of a conversation."""

    model_config = ConfigDict(frozen=True)

    role: Literal["system", "user", "assistant"]
    content: str


class Row(BaseModel):
    """One conversation with its clips. Keys of other toolkits are ignored."""

    model_config = ConfigDict(frozen=True)

    id: str = Field(min_length=1)
    messages: tuple[Message, ...] = Field(min_length=2)
    audios: tuple[str, ...] = ()
    task: Task | None = None
    dataset: str | None = None
    licence: str | None = None
    seconds: float | None = Field(None, ge=0, description="length of all clips together")
    meta: dict[str, Any] = Field(default_factory=dict)

    @field_validator("id", mode="before")
    @classmethod
    def _numbers_are_names(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) else value

    @field_validator("audios", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value or ()

    @model_validator(mode="after")
    def _marks_and_answer(self) -> Row:
        marks = sum(message.content.count(AUDIO_MARK) for message in self.messages)
        if marks != len(self.audios):
            raise ValueError(f"{marks} {AUDIO_MARK} marks in the messages, but {len(self.audios)} audios")
        if self.messages[-1].role != "assistant" or not self.messages[-1].content.strip():
            raise ValueError("the last message must be the assistant's answer")
        if any(AUDIO_MARK in message.content for message in self.messages if message.role == "assistant"):
            raise ValueError(f"an assistant's message holds {AUDIO_MARK}; clips belong to the user's turns")
        return self

    @property
    def prompt(self) -> tuple[Message, ...]:
        """Everything before the reference answer."""
        return self.messages[:-1]

    @property
    def answer(self) -> str:
        """The reference answer."""
        return self.messages[-1].content


@dataclass(frozen=True)
class Manifest:
    """The rows of a file and the folder to which their relative paths refer."""

    rows: tuple[Row, ...]
    folder: Path

    @cached_property
    def fingerprint(self) -> str:
        """Sha256 hex of the rows in their order; independent of the folder and of the file format."""
        return fingerprint([_plain(row) for row in self.rows])

    def resolve(self, uri: str) -> Path | str:
        """Where a clip lies: a path, or the URI itself where it is one (``s3://...``)."""
        return uri if "://" in uri else self.folder / uri


def read_manifest(path: Path | str) -> Manifest:
    """Read a JSONL or Parquet manifest. Rows without an id are named after the file and their number.

    Raises:
        ManifestError: no such file, an unknown ending, an empty manifest, or a bad row (with its number).
    """
    path = Path(path)
    if not path.is_file():
        raise ManifestError(f"no manifest at {path}")
    rows: list[Row] = []
    seen: dict[str, int] = {}
    for number, data in _READERS.get(path.suffix, _unknown_ending)(path):
        row = _validate(data, f"{path} {_unit(path)} {number}", f"{path.stem}-{number}")
        if row.id in seen:
            raise ManifestError(f"{path} {_unit(path)} {number}: id {row.id!r} was used before, in {seen[row.id]}")
        seen[row.id] = number
        rows.append(row)
    if not rows:
        raise ManifestError(f"{path} holds no rows")
    return Manifest(tuple(rows), path.parent)


def write_manifest(rows: Iterable[Row], path: Path | str) -> None:
    """Write rows as JSONL or Parquet, by the ending of *path*; readers never see half a file.

    Raises:
        ManifestError: an ending other than .jsonl or .parquet.
    """
    path = Path(path)
    plain = [_plain(row) for row in rows]
    if path.suffix == ".jsonl":
        atomic_write(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in plain))
    elif path.suffix == ".parquet":
        sink = pa.BufferOutputStream()
        columns = [row | {"meta": json.dumps(row.get("meta", {}), ensure_ascii=False)} for row in plain]
        pq.write_table(pa.Table.from_pylist(columns, _SCHEMA), sink, compression="zstd")
        atomic_write(path, sink.getvalue().to_pybytes())
    else:
        _unknown_ending(path)


_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        ("audios", pa.list_(pa.string())),
        ("task", pa.string()),
        ("dataset", pa.string()),
        ("licence", pa.string()),
        ("seconds", pa.float64()),
        ("meta", pa.string()),
    ]
)


def _plain(row: Row) -> dict[str, Any]:
    """The row without what it leaves open, so that files stay short."""
    return row.model_dump(mode="json", exclude_none=True, exclude_defaults=True)


def _jsonl(path: Path) -> Iterator[tuple[int, Any]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                yield number, json.loads(line)
            except ValueError as error:
                raise ManifestError(f"{path} line {number}: not JSON ({error})") from error


def _parquet(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise ManifestError(f"{path} is not a readable Parquet file ({error})") from error
    for number, data in enumerate(table.to_pylist(), 1):
        row = {key: value for key, value in data.items() if value is not None}
        if isinstance(row.get("meta"), str):
            try:
                row["meta"] = json.loads(row["meta"])
            except ValueError as error:
                raise ManifestError(f"{path} row {number}: meta is not JSON ({error})") from error
        yield number, row


_READERS = {".jsonl": _jsonl, ".parquet": _parquet}


def _unknown_ending(path: Path) -> Iterator[tuple[int, Any]]:
    raise ManifestError(f"{path}: a manifest ends in {' or '.join(_READERS)}")


def _unit(path: Path) -> str:
    return "line" if path.suffix == ".jsonl" else "row"


def _validate(data: Any, where: str, name: str) -> Row:
    if not isinstance(data, dict):
        raise ManifestError(f"{where}: expected an object with messages, found {type(data).__name__}")
    try:
        return Row.model_validate({"id": name, **data})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise ManifestError(f"{where}: {field + ': ' if field else ''}{message}") from error
