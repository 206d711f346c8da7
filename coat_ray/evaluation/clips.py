"""What the clips of a manifest are, before anybody is asked about them: id, length, and why one is left out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from coat_ray.audio import AudioError, AudioLimits, clip_id, load_audio
from coat_ray.audio.errors import TooLongError
from coat_ray.corpus.manifest import Manifest, Row
from coat_ray.evaluation.asking.answers import Progress
from coat_ray.storage import locked

MAX_SECONDS = 120.0
"""Longer clips are skipped, as in the paper."""

SHORTEST_SAMPLES = 1600
"""A tenth of a second; below it a clip has one audio token or none."""

RATE = 16_000
BROKEN = "broken"


@dataclass(frozen=True)
class Clip:
    """One clip of a manifest; ``skipped`` says why it is left out."""

    uri: str
    id: str = ""
    seconds: float = 0.0
    skipped: str | None = None


def inspect_clips(
    manifest: Manifest, cache: Path, progress: Progress | None = None, *, broken: bool = False
) -> dict[str, Clip]:
    """URI -> clip, every clip of the manifest decoded once; what is known already is read from *cache*.

    Args:
        manifest: whose clips.
        cache: folder of one JSONL file per manifest; a look that was interrupted goes on, and a second one at the same
            time waits and reads what the first has seen.
        progress: told (clips seen, clips in all).
        broken: whether clips may be broken or missing: training leaves them out, a benchmark must not.

    Raises:
        AudioError: a clip that is broken or missing and must not be. One that is too long is no error.
    """
    path = cache / f"clips-{manifest.fingerprint[:16]}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    uris = list(dict.fromkeys(uri for row in manifest.rows for uri in row.audios))
    with locked(path), path.open("a+b") as file:
        known = _known(file)
        for number, uri in enumerate(uris, 1):
            if uri not in known or (not broken and (known[uri].skipped or "").startswith(BROKEN)):
                known[uri] = _inspect(manifest, uri, broken)
                file.write(json.dumps(asdict(known[uri]), ensure_ascii=False).encode() + b"\n")
            if progress and (number % 16 == 0 or number == len(uris)):
                progress(number, len(uris))
    return {uri: known[uri] for uri in uris}


def _known(file: BinaryIO) -> dict[str, Clip]:
    """What the whole lines say; the file is left so that the next line starts at its beginning."""
    file.seek(0)
    data = file.read()
    if data and not data.endswith(b"\n"):  # a killed process left half a line
        file.write(b"\n")
    return {clip.uri: clip for line in data.splitlines() if (clip := _read(line))}


def _read(line: bytes) -> Clip | None:
    try:
        return Clip(**json.loads(line))
    except (ValueError, TypeError):
        return None


def _inspect(manifest: Manifest, uri: str, broken: bool) -> Clip:
    try:
        signal = load_audio(manifest.resolve(uri), RATE, AudioLimits(max_seconds=MAX_SECONDS))
    except TooLongError:
        return Clip(uri, skipped=f"longer than {MAX_SECONDS:g} s")
    except AudioError as error:
        if not broken:
            raise
        return Clip(uri, skipped=f"{BROKEN}: {error}")
    seconds = len(signal) / RATE
    short = f"shorter than {SHORTEST_SAMPLES / RATE:g} s" if len(signal) < SHORTEST_SAMPLES else None
    return Clip(uri, clip_id(signal), round(seconds, 4), short)


def skipped_rows(rows: Iterable[Row], clips: Mapping[str, Clip]) -> dict[str, str]:
    """Row id -> why it is not asked."""
    found = {}
    for row in rows:
        reasons = [reason for uri in row.audios if (reason := clips[uri].skipped)]
        if reasons:
            found[row.id] = reasons[0]
    return found


def with_lengths(rows: Iterable[Row], clips: Mapping[str, Clip]) -> list[Row]:
    """Rows that state the length of their clips, so that batches hold rows of similar length."""
    return [row.model_copy(update={"seconds": sum(clips[uri].seconds for uri in row.audios)}) for row in rows]
