"""Small corpora and archives of them, honest and hostile."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Mapping

WAVES = {f"clips/{number}.wav": bytes([number]) * 1000 for number in range(3)}


def row(name: str, *audios: str, **more: object) -> dict[str, object]:
    """A row that asks about some clips."""
    question = {"role": "user", "content": "<audio>" * len(audios) + "What is it?"}
    answer = {"role": "assistant", "content": "a bell"}
    return {"id": name, "messages": [question, answer], "audios": list(audios), **more}


def manifest(*rows: Mapping[str, object]) -> bytes:
    """JSONL."""
    return "".join(json.dumps(part) + "\n" for part in rows).encode()


def corpus(*rows: Mapping[str, object], clips: Mapping[str, bytes] = WAVES) -> dict[str, bytes]:
    """The files of a corpus with three clips; *rows* are its training split."""
    rows = rows or (row("a", "clips/0.wav", licence="CC-BY-4.0", seconds=1.5),)
    other = {
        "validation.jsonl": manifest(row("b", "clips/1.wav", licence="CC0-1.0", seconds=0.5)),
        "test.jsonl": manifest(row("c", "clips/2.wav", licence="CC0-1.0", seconds=2)),
    }
    return {"train.jsonl": manifest(*rows), **other, **clips}


def zipped(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip archive."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return sink.getvalue()


def tarred(files: Mapping[str, bytes], *extra: tarfile.TarInfo, mode: str = "w") -> bytes:
    """A tar archive, with some entries more."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for info in extra:
            archive.addfile(info)
    return sink.getvalue()


def entry(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    """An entry of a tar archive without data."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info
