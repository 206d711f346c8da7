"""What a file's first and last bytes tell about its completeness.

Decoders shorten cut WAV, AIFF and Ogg files in silence; the sizes written in the file itself do not.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

from coat_ray.audio.errors import NotAudioError, TruncatedAudioError

MOST_PIECES = 50_000
"""A recording of half a day in fragments of two seconds has fewer."""

_STREAMED_SIZES = (0, 0x7FFFFFFF, 0xFFFFFFFF)  # written by programs that cannot seek back
_OGG_HEADER = 27
_OGG_LARGEST_PAGE = _OGG_HEADER + 255 + 255 * 255


def check_complete(file: BinaryIO, size: int) -> None:
    """Compare the sizes written in RIFF, AIFF, RF64 and Ogg files with the file's *size* in bytes.

    Raises:
        TruncatedAudioError: the file is shorter than it says.
        NotAudioError: it consists of more pieces than any recording.
    """
    _check_pieces(file)
    file.seek(0)
    head = file.read(28)
    needed = _ogg_end(file, size) if head[:4] == b"OggS" else _chunk_end(head)
    file.seek(0)
    if needed is not None and needed > size + 1:  # + 1: some writers leave out the last pad byte
        raise TruncatedAudioError(f"its header promises {needed:,} bytes, the file has {size:,}")


def is_mpeg(file: BinaryIO) -> bool:
    """Whether the file starts like MP3 or ADTS AAC: an ID3 tag or eleven sync bits."""
    head = _head(file, 3)
    return head == b"ID3" or (len(head) == 3 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0)


def is_mp4(file: BinaryIO) -> bool:
    """Whether the file starts with the ``ftyp`` box of MP4, M4A and MOV."""
    return _head(file, 8)[4:] == b"ftyp"


def has_mp3_length(file: BinaryIO) -> bool:
    """Whether an MP3 carries a Xing, Info or VBRI header, which holds its number of frames."""
    head = _head(file, 2**16)
    return any(tag in head for tag in (b"Xing", b"Info", b"VBRI"))


def _head(file: BinaryIO, count: int) -> bytes:
    here = file.tell()
    file.seek(0)
    head = file.read(count)
    file.seek(here)
    return head


def _chunk_end(head: bytes) -> int | None:
    """Where the outermost chunk ends, or None where nothing is known."""
    if len(head) < 28:
        return None
    if head[:4] == b"RF64":
        return int(struct.unpack("<Q", head[20:28])[0]) + 8
    order = {b"RIFF": "<I", b"FORM": ">I"}.get(head[:4])
    if order is None:
        return None
    (declared,) = struct.unpack(order, head[4:8])
    return None if declared in _STREAMED_SIZES else int(declared) + 8


def _check_pieces(file: BinaryIO) -> None:
    """Count the outermost chunks or boxes of RIFF, AIFF and MP4; empty ones are work for a decoder in few bytes."""
    head = _head(file, 12)
    form, here, own = {b"RIFF": ("<4xI", 12, 8), b"FORM": (">4xI", 12, 8)}.get(head[:4], (">I4x", 0, 0))
    if not own and head[4:8] != b"ftyp":
        return
    for _ in range(MOST_PIECES):
        file.seek(here)
        piece = file.read(16)
        if len(piece) < 8:
            return
        length = struct.unpack(form, piece[:8])[0] + own
        if not own and length == 1 and len(piece) == 16:
            length = struct.unpack(">Q", piece[8:])[0]
        if length < 8:
            return
        here += length + (length & 1 if own else 0)
    raise NotAudioError(f"it consists of more than {MOST_PIECES:,} pieces, as no recording does")


def _ogg_end(file: BinaryIO, size: int) -> int:
    """Where the last Ogg page ends: its header counts the bytes that follow (RFC 3533, section 6)."""
    start = max(0, size - _OGG_LARGEST_PAGE)
    file.seek(start)
    tail = file.read(_OGG_LARGEST_PAGE)
    page = tail.rfind(b"OggS")
    header = tail[page : page + _OGG_HEADER]
    if page < 0 or len(header) < _OGG_HEADER:
        return size
    table = tail[page + _OGG_HEADER : page + _OGG_HEADER + header[-1]]
    return start + page + _OGG_HEADER + header[-1] + sum(table)
