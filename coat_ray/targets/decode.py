"""First step of the encode pipeline: files in, waveforms at every needed rate out. Knows neither Ray nor torch.

Tables (Arrow) travel between the steps, one row per clip. In: the fields of ``ClipWork``. Out: those of ``ClipEntry``,
``wanted`` (names of datasets) and ``wave:<rate>`` (float32 samples, null where no wanted dataset takes that rate).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa

from coat_ray.audio import AudioError, AudioLimits, clip_id, decode_audio, resample
from coat_ray.targets.align import block_length
from coat_ray.targets.clips import ENTRY_SCHEMA, ClipEntry
from coat_ray.targets.plan import ID_RATE, ClipWork
from coat_ray.targets.quarantine import CRASHED, TOO_SHORT

Claim = Callable[[list[tuple[str, str]]], list[tuple[str, ...]]]
"""Takes (uri, clip id) pairs and says which datasets each has to be encoded for; see ``Claims.claim``."""

SHORTEST_BLOCK = 2
"""Audio tokens of the shortest clip: with one, Qwen2-Audio takes a path that changes the length of its sequence."""

WORK_SCHEMA = pa.schema(
    [
        ("uri", pa.string()),
        ("size", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("seconds", pa.float64()),
        ("clip_id", pa.string()),
        ("wanted", pa.list_(pa.string())),
    ]
)
"""Schema of the table that enters the pipeline."""


def work_table(block: Sequence[ClipWork]) -> pa.Table:
    """A block of work as the pipeline's first table."""
    return pa.Table.from_pylist([asdict(clip) for clip in block], schema=WORK_SCHEMA)


def wave_column(rate: int) -> str:
    """Name of the column with waveforms at *rate* Hz."""
    return f"wave:{rate}"


@dataclass(frozen=True)
class Heard:
    """What a file holds: mono at its own rate in Hz, and at the rate of the clip id."""

    signal: np.ndarray
    rate: int
    at_id_rate: np.ndarray

    def at(self, rate: int) -> np.ndarray:
        """The signal at *rate*, from the file's own: the 16 kHz signal has lost everything above 8 kHz."""
        return self.at_id_rate if rate == ID_RATE else resample(self.signal, self.rate, rate)


class Decoder:
    """Decodes each clip of a table once, for all rates; one that cannot be decoded becomes a row with a reason."""

    def __init__(self, rates: Mapping[str, int], limits: AudioLimits, claim: Claim) -> None:
        """*rates*: dataset name -> sample rate in Hz that its expert takes."""
        self._rates, self._limits, self._claim = dict(rates), limits, claim

    def __call__(self, table: pa.Table) -> pa.Table:
        """Decode every row of *table*."""
        works = [ClipWork(**row) for row in table.to_pylist()]
        entries, heard = zip(*map(self._decode, works), strict=True)
        wanted = self._claimed(works, entries)
        out = pa.Table.from_pylist([asdict(entry) for entry in entries], schema=ENTRY_SCHEMA)
        out = out.append_column("wanted", pa.array(wanted, pa.list_(pa.string())))
        for rate in sorted(set(self._rates.values())):
            takers = {name for name, taken in self._rates.items() if taken == rate}
            waves = [
                clip.at(rate) if clip and takers & set(names) else None
                for clip, names in zip(heard, wanted, strict=True)
            ]
            out = out.append_column(wave_column(rate), _wave_array(waves))
        return out

    def _decode(self, work: ClipWork) -> tuple[ClipEntry, Heard | None]:
        """Which clip the file holds, and its signal; None when it cannot be used."""
        try:
            signal, rate = decode_audio(work.uri, self._limits)
            heard = Heard(signal, rate, resample(signal, rate, ID_RATE))
        except AudioError as error:
            return _bad(work, error.reason, str(error)), None
        except Exception as error:  # noqa: BLE001 - one file must not end the run; its row says what happened
            return _bad(work, CRASHED, f"{type(error).__name__}: {error}"), None
        if block_length(len(heard.at_id_rate)) < SHORTEST_BLOCK:
            seconds = len(heard.signal) / heard.rate
            return _bad(work, TOO_SHORT, f"{work.uri} lasts {seconds:.4f} s, too little for two audio tokens"), None
        found = clip_id(heard.at_id_rate)
        if work.clip_id not in {None, found}:
            return _bad(work, CRASHED, "the file changed during the run; encode it again"), None
        return ClipEntry(work.uri, work.size, work.mtime_ns, found, len(heard.at_id_rate)), heard

    def _claimed(self, works: Sequence[ClipWork], entries: Sequence[ClipEntry]) -> list[Sequence[str]]:
        """Datasets that each clip goes to: planned for a clip that was known, claimed now for a new one."""
        new = [i for i, entry in enumerate(entries) if entry.clip_id is not None and works[i].clip_id is None]
        claims = self._claim([(entries[i].uri, str(entries[i].clip_id)) for i in new]) if new else []
        claimed = dict(zip(new, claims, strict=True))
        return [claimed.get(i, work.wanted) if entries[i].clip_id else () for i, work in enumerate(works)]


def _bad(work: ClipWork, reason: str, message: str) -> ClipEntry:
    return ClipEntry(work.uri, work.size, work.mtime_ns, None, 0, reason, message)


def _wave_array(waves: Sequence[np.ndarray | None]) -> pa.Array:
    """Waveforms as one list<float> array without a copy per sample; None becomes null."""
    lengths = [0 if wave is None else len(wave) for wave in waves]
    filled = [wave for wave in waves if wave is not None]
    values = np.concatenate(filled).astype(np.float32, copy=False) if filled else np.zeros(0, np.float32)
    offsets = pa.array(np.cumsum([0, *lengths]), pa.int32())
    return pa.ListArray.from_arrays(offsets, pa.array(values), mask=pa.array([wave is None for wave in waves]))
