"""Three hundred malformed uploads, the same ones each time: what a server must refuse quickly and in little memory.

Each is made when it is asked for. Files whose damage no decoder can know of are not among them: a stream without a
length in its header (MP3 without Xing, ADTS, AU of unknown size) that ends early is a shorter clip.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import struct
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from itertools import repeat
from typing import Any, cast

import av
import numpy as np
import soundfile

RATE = 16_000
HUGE = 2**31 - 1


@dataclass(frozen=True)
class Upload:
    """A name, and what makes a file, or a whole body for the chat endpoint."""

    name: str
    make: Callable[[], bytes]
    body: bool = False


def uploads() -> list[Upload]:
    """All of them, by kind."""
    kinds = {
        "cut": _cut(),
        "forged": _forged(),
        "bomb": _bombs(),
        "other": _other_types(),
        "not finite": _not_finite(),
        "nested": _nested(),
        "noise": _noise(),
    }
    files = [Upload(f"{kind}: {name}", make) for kind, made in kinds.items() for name, make in made]
    return [*files, *(Upload(f"body: {name}", make, body=True) for name, make in _bodies())]


def chat_body(data: bytes | str, **more: Any) -> bytes:
    """A question about a file, or about a text in the place of its base64."""
    text = base64.b64encode(data).decode() if isinstance(data, bytes) else data
    part = {"type": "input_audio", "input_audio": {"data": text, "format": "wav"}}
    return json.dumps(
        {"model": "base", "max_tokens": 1, "messages": [{"role": "user", "content": [part]}], **more}
    ).encode()


Made = Iterator[tuple[str, Callable[[], bytes]]]


@cache
def sound(kind: str, subtype: str | None = None) -> bytes:
    """One second of a tone in a format of libsndfile."""
    file = io.BytesIO()
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    soundfile.write(file, tone.astype(np.float32), RATE, format=kind, subtype=subtype)
    return file.getvalue()


@cache
def contained(kind: str, codec: str) -> bytes:
    """One second of a tone in a container of FFmpeg."""
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(48_000) / 48_000)
    return _written(kind, codec, 48_000, np.split(tone.astype(np.float32), 50))


def _written(kind: str, codec: str, rate: int, pieces: Iterable[np.ndarray], bit_rate: int | None = None) -> bytes:
    """Mono *pieces* of one length as a file."""
    file = io.BytesIO()
    with av.open(file, "w", format=kind) as container:
        stream = cast("av.AudioStream", container.add_stream(codec, rate=rate, layout="mono"))
        if bit_rate is not None:
            stream.bit_rate = bit_rate
        for i, piece in enumerate(pieces):
            frame = av.AudioFrame.from_ndarray(piece[None], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = rate, i * len(piece)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


FORMATS: dict[str, Callable[[], bytes]] = {
    "wav": partial(sound, "WAV"),
    "float wav": partial(sound, "WAV", "FLOAT"),
    "rf64": partial(sound, "RF64"),
    "aiff": partial(sound, "AIFF"),
    "flac": partial(sound, "FLAC"),
    "vorbis": partial(sound, "OGG", "VORBIS"),
    "opus": partial(sound, "OGG", "OPUS"),
    "mp3": partial(sound, "MP3"),
    "m4a": partial(contained, "mp4", "aac"),
    "webm": partial(contained, "webm", "libopus"),
    "flac in matroska": partial(contained, "matroska", "flac"),
    "alac": partial(contained, "mp4", "alac"),
    "adpcm wav": partial(sound, "WAV", "IMA_ADPCM"),
    "mu-law wav": partial(sound, "WAV", "ULAW"),
}


def _cut(places: tuple[float, ...] = (0.0005, 0.01, 0.1, 0.25, 0.5, 0.6, 0.7)) -> Made:
    """Each format, ending within its header, in the middle and near its end."""
    yield "nothing", bytes
    yield "one byte", lambda: b"R"
    for name, make in FORMATS.items():
        for place in places:
            yield f"{name} at {place:.2%}", partial(_start, make, place)


def _start(make: Callable[[], bytes], part: float) -> bytes:
    data = make()
    return data[: max(3, int(part * len(data)))]


def _put(make: Callable[[], bytes], at: int, form: str, *values: int) -> bytes:
    data = make()
    new = struct.pack(form, *values)
    return data[:at] + new + data[at + len(new) :]


def _forged() -> Made:
    """Headers that lie."""
    wav, flac, aiff = FORMATS["wav"], FORMATS["flac"], FORMATS["aiff"]
    for size in (2**31, 2**32 - 2, 10**9, 100_000):
        yield f"wav of {size:,} bytes", partial(_put, wav, 4, "<I", size)
    for channels in (0, 9, 255, 1000, 65_535):
        yield f"wav with {channels} channels", partial(_put, wav, 22, "<H", channels)
    for rate in (0, 1, 3_999, 96_001, 10**6, HUGE, 2**32 - 1):
        yield f"wav at {rate:,} Hz", partial(_put, wav, 24, "<I", rate)
    for tag in (0, 0x55AA, 0xFFFE, 0xFFFF):
        yield f"wav of codec {tag:#x}", partial(_put, wav, 20, "<H", tag)
    for bits in (0, 255, 65_535):
        yield f"wav of {bits} bits", partial(_put, wav, 34, "<H", bits)
    for size in (0, 1, 8, 2**31, 2**32 - 1):
        yield f"wav whose format takes {size} bytes", partial(_put, wav, 16, "<I", size)
    for channels in (0, 9, 32_767, 65_535):
        yield f"aiff with {channels} channels", partial(_put, aiff, 20, ">H", channels)
    for exponent in (0x0000, 0x7FFF, 0xC00E):
        yield f"aiff at a rate of exponent {exponent:#x}", partial(_put, aiff, 28, ">H", exponent)
    for name, first in (("no rate", 0), ("655,350 Hz", 0x9FFF6FFF)):
        yield f"flac with {name}", partial(_put, flac, 18, ">I", first)
    yield "flac of years", partial(_put, flac, 21, ">BI", 0xFF, 2**32 - 1)
    for size in (2**24 - 1, 1):
        yield f"flac whose first block takes {size:,} bytes", partial(_put, flac, 4, ">I", size)
    yield "ogg of another version", partial(_put, FORMATS["vorbis"], 4, "B", 9)
    yield "opus with no channels", partial(_put, FORMATS["opus"], 28 + 9, "B", 0)
    yield "vorbis with no rate", partial(_put, FORMATS["vorbis"], 28 + 12, "<I", 0)
    yield "m4a whose first box takes gigabytes", partial(_put, FORMATS["m4a"], 0, ">I", 2**32 - 1)
    yield "webm of another kind", partial(_put, FORMATS["webm"], 0, ">I", 0x1A45DFA4)


def _bombs() -> Made:
    """Hours in a few bytes."""
    for hours in (0.05, 0.5, 1, 3):
        yield f"{hours:g} h of silence as flac", partial(_silence, hours, 8_000, 1)
        yield f"{hours:g} h of silence as flac of unknown length", partial(_unsized, hours, 8_000, 1)
    for rate, channels in ((96_000, 8), (48_000, 2), (16_000, 8)):
        yield f"silence at {rate:,} Hz on {channels} channels", partial(_silence, 0.05, rate, channels)
        yield f"the same of unknown length, {rate:,}", partial(_unsized, 0.05, rate, channels)
    for minutes in (2, 60):
        yield f"{minutes} min of silence as mp3", partial(_repeated_mp3, minutes)
    yield "10 min of silence as alac", partial(_compressed, 10, "mp4", "alac", 8_000)
    yield "2 min of silence as m4a", partial(_compressed, 2, "mp4", "aac", 8_000)
    yield "2 min of silence as opus", partial(_compressed, 2, "ogg", "libopus", 48_000)
    yield "a gigabyte of zeros in gzip", lambda: gzip.compress(bytes(2**24), 9) * 64
    yield "a zip of zeros", _zip_of_zeros
    yield "megabytes of zeros", lambda: bytes(11 * 2**20)
    yield "megabytes of silence as wav", lambda: _plain_wav(bytes(11 * 2**20))


@cache
def _silence(hours: float, rate: int, channels: int) -> bytes:
    file, minute = io.BytesIO(), np.zeros((rate * 60, channels), np.int16)
    with soundfile.SoundFile(file, "w", rate, channels, format="FLAC") as written:
        for _ in range(int(hours * 60)):
            written.write(minute)
    return file.getvalue()


def _unsized(hours: float, rate: int, channels: int) -> bytes:
    """The number of samples in STREAMINFO (36 bits from byte 21) set to unknown."""
    flac = _silence(hours, rate, channels)
    return flac[:21] + bytes([flac[21] & 0xF0]) + bytes(4) + flac[26:]


@cache
def _compressed(minutes: int, kind: str, codec: str, rate: int) -> bytes:
    seconds = repeat(np.zeros(rate, np.float32), 60 * minutes)
    return _written(kind, codec, rate, seconds, bit_rate=8_000)


def _repeated_mp3(minutes: int) -> bytes:
    """One minute again and again: a stream of frames has no end of its own."""
    return _compressed(1, "mp3", "libmp3lame", 8_000) * minutes


def _zip_of_zeros() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.wav", bytes(2**26))
    return file.getvalue()


def _plain_wav(samples: bytes, *, channels: int = 1, bits: int = 16, tag: int = 1, before: bytes = b"") -> bytes:
    """A WAV file, with chunks *before* its samples."""
    width = channels * bits // 8
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, tag, channels, 8_000, 8_000 * width, width, bits)
    inside = b"WAVE" + form + before + struct.pack("<4sI", b"data", len(samples)) + samples
    return struct.pack("<4sI", b"RIFF", len(inside)) + inside


HEADS: dict[str, bytes] = {
    "png": b"\x89PNG\r\n\x1a\n",
    "jpeg": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00",
    "gif": b"GIF89a",
    "pdf": b"%PDF-1.7\n",
    "zip": b"PK\x03\x04",
    "gzip": b"\x1f\x8b\x08\x00",
    "xz": b"\xfd7zXZ\x00",
    "elf": b"\x7fELF\x02\x01\x01",
    "exe": b"MZ\x90\x00",
    "pickle": b"\x80\x04\x95",
    "sqlite": b"SQLite format 3\x00",
    "midi": b"MThd\x00\x00\x00\x06\x00\x01\x00\x01\x00`",
    "bmp": b"BM",
    "avi": b"RIFF\x24\x10\x00\x00AVI LIST",
    "webp": b"RIFF\x24\x10\x00\x00WEBPVP8 ",
    "flv": b"FLV\x01\x05\x00\x00\x00\x09",
    "mpeg": b"\x00\x00\x01\xba",
    "safetensors": struct.pack("<Q", 20) + b'{"a":{"dtype":"F32"}',
    "numpy": b"\x93NUMPY\x01\x00",
    "parquet": b"PAR1",
}
TEXTS: dict[str, bytes] = {
    "text": b"hello " * 1000,
    "html": b"<!doctype html><html><body>not found</body></html>",
    "json": b'{"error": "not found"}',
    "xml": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    "a playlist": b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n",
    "a playlist of segments": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:1/a.ts\n#EXT-X-ENDLIST\n",
    "a concatenation": b"ffconcat version 1.0\nfile '/etc/passwd'\n",
    "a session description": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\n",
    "subtitles": b"1\n00:00:00,000 --> 00:00:02,000\nhello\n",
    "a shell script": b"#!/bin/sh\necho hello\n",
    "base64 of base64": base64.b64encode(base64.b64encode(b"RIFF" * 100)),
    "a large file's pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
}


def _other_types() -> Made:
    """What is no audio."""
    for name, head in HEADS.items():
        yield name, partial(_filled, head)
    for name, text in TEXTS.items():
        yield name, partial(bytes, text)
    yield "a film without sound", _silent_film


def _filled(head: bytes) -> bytes:
    return head + np.random.default_rng(len(head)).bytes(4_000)


def _silent_film() -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for _ in range(10):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode(None))
    return file.getvalue()


def _not_finite() -> Made:
    """NaN and infinity, alone and among sound."""
    for kind, subtype in (("WAV", "FLOAT"), ("WAV", "DOUBLE"), ("AIFF", "FLOAT"), ("AU", "FLOAT"), ("CAF", "DOUBLE")):
        for value in (np.nan, np.inf, -np.inf):
            for where, name in ((slice(None), "everywhere"), (slice(-1, None), "at the end")):
                yield f"{value} {name} in {kind} {subtype}", partial(_with_value, kind, subtype, value, where)


def _with_value(kind: str, subtype: str, value: float, where: slice) -> bytes:
    signal = np.zeros(RATE)
    signal[where] = value
    file = io.BytesIO()
    soundfile.write(file, signal, RATE, format=kind, subtype=subtype)
    return file.getvalue()


def _nested() -> Made:
    """Containers in containers, and a great many of them."""
    for depth in (100, 10_000, 100_000):
        yield f"{depth:,} lists within lists of wav", partial(_deep_riff, depth)
        yield f"{depth:,} boxes within boxes of mp4", partial(_deep_boxes, depth)
    for number in (1_000, 1_000_000):
        yield f"{number:,} empty chunks and no samples", partial(_many_chunks, number)
        yield f"{number:,} empty boxes of mp4", partial(_many_boxes, number)
    yield "tags before tags before nothing", lambda: b"ID3\x03\x00\x00\x00\x00\x00\x0a" + bytes(10) + _tag() * 5_000
    yield "a tag that claims everything", lambda: b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f" + bytes(1_000)
    yield "ogg pages without packets", lambda: _ogg_page() * 20_000
    yield (
        "elements of unknown size within each other",
        lambda: FORMATS["webm"]()[:60] + b"\x1f\x43\xb6\x75\x01" + b"\xff" * 7,
    )
    for name in ("flac", "vorbis", "m4a"):
        yield f"{name} inside the samples of no format", partial(_inside, name)


def _deep_riff(depth: int) -> bytes:
    inside = b"".join(struct.pack("<4sI4s", b"LIST", 12 * (depth - i) - 8, b"INFO") for i in range(depth))
    return struct.pack("<4sI4s", b"RIFF", len(inside) + 4, b"WAVE") + inside


def _deep_boxes(depth: int) -> bytes:
    head = struct.pack(">I4s4sI", 16, b"ftyp", b"M4A ", 0)
    return head + b"".join(struct.pack(">I4s", 8 * (depth - i), b"moov") for i in range(depth))


def _many_chunks(number: int) -> bytes:
    return _plain_wav(b"", before=struct.pack("<4sI", b"junk", 0) * number)


def _many_boxes(number: int) -> bytes:
    return struct.pack(">I4s4sI", 16, b"ftyp", b"M4A ", 0) + struct.pack(">I4s", 8, b"free") * number


def _tag() -> bytes:
    return b"ID3\x03\x00\x00\x00\x00\x00\x0a" + bytes(10)


def _ogg_page() -> bytes:
    return b"OggS\x00\x00" + bytes(20) + b"\x00"


def _inside(name: str) -> bytes:
    return _plain_wav(FORMATS[name](), tag=0x7777)


def _noise() -> Made:
    """Random bytes behind what formats begin with."""
    begins = {
        "nothing": b"",
        "wav": FORMATS["wav"]()[:20],
        "flac": b"fLaC",
        "ogg": b"OggS\x00\x02",
        "m4a": FORMATS["m4a"]()[:24],
        "webm": FORMATS["webm"]()[:40],
        "aiff": FORMATS["aiff"]()[:12],
        "caf": b"caff\x00\x01\x00\x00",
        "mp3": b"\xff\xfb",
        "au": b".snd",
        "w64": b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00",
    }
    for name, head in begins.items():
        for seed, size in enumerate((64, 10_000, 300_000)):
            yield f"{size:,} bytes after the head of {name}", partial(_random, head, seed, size)


def _random(head: bytes, seed: int, size: int) -> bytes:
    return head + np.random.default_rng(seed).bytes(size)


def _bodies() -> Made:
    """Requests that are broken around the file."""
    good = base64.b64encode(FORMATS["wav"]()).decode()
    texts = {
        "no base64": "%%%%",
        "base64 without its end": good[:1001],
        "base64 with spaces": good[:100] + " " + good[100:],
        "base64 of another alphabet": good.replace("A", "é"),
        "padding alone": "====",
        "a data URL as data": f"data:audio/wav;base64,{good}",
        "an empty text": "",
    }
    for name, text in texts.items():
        yield name, partial(chat_body, text)
    yield "megabytes of base64 of nothing", lambda: chat_body("A" * (15 * 2**20))
    yield "megabytes of base64 with its error at the end", lambda: chat_body("A" * (15 * 2**20) + "%")
    yield "more than the bound", lambda: chat_body("A" * (17 * 2**20))
    yield "millions of values", lambda: b'{"messages":[' + b"[]," * 4_000_000 + b"0]}"
    yield "deep nesting", lambda: b"[" * 1_000_000
    yield "a cut body", lambda: chat_body(FORMATS["wav"]())[:-20]
    yield "no text at all", lambda: chat_body(b"x").replace(b"base", b"\xff\xfe")
    yield "numbers that are none", lambda: chat_body(FORMATS["wav"](), temperature=float("nan"))
    yield "a number of a million digits", lambda: b'{"n":' + b"9" * 1_000_000 + b"}"
    yield "nine clips", lambda: json.dumps({"model": "base", "messages": _nine(good)}).encode()
    for url in ("data:audio/wav,RIFF", "data:;base64,", "data:audio/wav;base64,%", "http://127.0.0.1:1/", "file:///x"):
        part = {"type": "audio_url", "audio_url": {"url": url}}
        yield f"the URL {url}", partial(_asked, [{"role": "user", "content": [part]}])


def _nine(clip: str) -> list[dict[str, Any]]:
    part = {"type": "input_audio", "input_audio": {"data": clip, "format": "wav"}}
    return [{"role": "user", "content": [part] * 9}]


def _asked(messages: list[dict[str, Any]]) -> bytes:
    return json.dumps({"model": "base", "messages": messages}).encode()
