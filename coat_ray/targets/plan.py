"""What an encode run has to do, decided before any audio is touched: pure functions over what the store already holds.

A *pair* is (clip, dataset); only missing pairs are computed, each once, however many files hold the same clip.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from coat_ray.audio.states import UNKNOWN, SourceState
from coat_ray.targets.clips import ClipEntry
from coat_ray.targets.quarantine import CRASHED

ID_RATE = 16_000
"""Sample rate in Hz of the signal whose digest is the clip id."""

_MIN_BLOCK_SECONDS, _MAX_BLOCK_SECONDS, _BLOCKS_PER_ACTOR = 30.0, 120.0, 8
_MAX_BATCH_CLIPS = 64

PASSING = frozenset(
    {CRASHED, "missing", "no_permission", "no_credentials", "unreachable"}
    | {"too_long", "too_large", "too_many_channels", "bad_sample_rate"}
)
"""Reasons of a bad file that hang on the run, its rights and limits, not on the file: tried again each time."""


@dataclass(frozen=True)
class ClipRef:
    """A clip of the corpus. ``seconds`` (from the manifest) is only a hint, to sort by."""

    uri: str
    seconds: float | None = None


@dataclass(frozen=True)
class ClipWork:
    """A clip to decode. Where the id is not known yet, ``wanted`` is empty and decided when it is."""

    uri: str
    size: int
    mtime_ns: int
    seconds: float
    clip_id: str | None = None
    wanted: tuple[str, ...] = ()


class Claims:
    """Gives each missing pair to one file. The same file gets the same answer again, so retries are safe."""

    def __init__(self, done: Mapping[str, set[str]]) -> None:
        self.done = done
        self._owner: dict[str, str] = {}

    def claim(self, clips: Sequence[tuple[str, str]]) -> list[tuple[str, ...]]:
        """Datasets that each (uri, clip id) has to be encoded for; none when another file has claimed the clip."""
        return [self._missing(clip_id) if self._owner.setdefault(clip_id, uri) == uri else () for uri, clip_id in clips]

    def _missing(self, clip_id: str) -> tuple[str, ...]:
        return tuple(dataset for dataset, done in self.done.items() if clip_id not in done)


@dataclass(frozen=True)
class Plan:
    """``work`` has to be decoded, ``bad`` files are known not to decode, ``known`` are the clip ids known so far."""

    work: list[ClipWork]
    bad: list[ClipEntry]
    known: set[str]


def make_plan(
    refs: Iterable[ClipRef], states: Mapping[str, SourceState], entries: Mapping[str, ClipEntry], claims: Claims
) -> Plan:
    """Compare the corpus with the index and the claims; a path that several rows share counts once.

    *states* (of the files, now) are remembered with what decoding tells.
    """
    plan = Plan([], [], set())
    for ref in {ref.uri: ref for ref in refs}.values():
        entry = entries.get(ref.uri)
        if entry is None or entry.reason in PASSING:
            size, mtime_ns = states.get(ref.uri, UNKNOWN)
            # Within one corpus, length follows size; the guess is 16-bit mono at 16 kHz.
            seconds = ref.seconds or max(size, 0) / (2 * ID_RATE)
            plan.work.append(ClipWork(ref.uri, size, mtime_ns, seconds))
        elif entry.clip_id is None:
            plan.bad.append(entry)
        else:
            plan.known.add(entry.clip_id)
            (wanted,) = claims.claim([(ref.uri, entry.clip_id)])
            if wanted:
                seconds = entry.num_samples / ID_RATE
                plan.work.append(ClipWork(ref.uri, entry.size, entry.mtime_ns, seconds, entry.clip_id, wanted))
    return plan


def make_blocks(work: Sequence[ClipWork], num_actors: int) -> list[list[ClipWork]]:
    """Cut the work, longest clips first, into blocks that become one part file per expert each.

    A block is small enough to keep every actor busy and to lose little when a job dies, and large enough that a large
    corpus does not end in a million files.
    """
    ordered = sorted(work, key=lambda clip: (-clip.seconds, clip.uri))
    share = sum(clip.seconds for clip in work) / (_BLOCKS_PER_ACTOR * num_actors)
    limit = min(max(share, _MIN_BLOCK_SECONDS), _MAX_BLOCK_SECONDS)
    blocks: list[list[ClipWork]] = []
    filled = limit
    for clip in ordered:
        if filled >= limit:
            blocks.append([])
            filled = 0.0
        blocks[-1].append(clip)
        filled += max(clip.seconds, 0.1)
    return blocks


def make_batches(lengths: Sequence[int], max_samples: int) -> list[list[int]]:
    """Positions of clips grouped by length, longest first, so that padding is small.

    A batch holds at most *max_samples* after padding, and always at least one clip.
    """
    batches: list[list[int]] = []
    longest = 0
    for position in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        full = not batches or longest * (len(batches[-1]) + 1) > max_samples or len(batches[-1]) >= _MAX_BATCH_CLIPS
        if full:
            batches.append([])
            longest = lengths[position]
        batches[-1].append(position)
    return batches


def absolute(uri: str | Path) -> str:
    """One spelling per local file, so that the index finds it from any working directory."""
    return str(uri) if "://" in str(uri) else str(Path(uri).absolute())
