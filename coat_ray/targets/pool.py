"""Second step of the encode pipeline: what an actor does with a table of waveforms. Knows nothing of Ray.

An actor hosts one expert, or several cheap ones: then importing torch and passing the waveforms is paid once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from coat_ray.config import ExpertConfig
from coat_ray.experts.base import Expert
from coat_ray.targets.align import align, block_length
from coat_ray.targets.decode import Decoder, wave_column
from coat_ray.targets.frames import fits_half
from coat_ray.targets.plan import make_batches
from coat_ray.targets.quarantine import CRASHED, TOO_SHORT, QuarantineRow
from coat_ray.targets.store import TargetDataset

STORED = "stored"
REFUSED, NOT_FINITE, BAD_FRAMES = "refused", "not_finite", "bad_frames"
"""What becomes of a pair: stored, or the reason (these, ``TOO_SHORT`` or ``CRASHED``) why it is in quarantine."""

LoadExpert = Callable[[ExpertConfig, str], Expert]


@dataclass(frozen=True)
class Clip:
    """One clip at its expert's rate; ``num_samples`` counts at 16 kHz, like the block's length."""

    clip_id: str
    uri: str
    wave: np.ndarray
    num_samples: int


@dataclass(frozen=True)
class ExpertTask:
    """Which expert fills which dataset."""

    config: ExpertConfig
    folder: Path
    sample_rate: int
    role: str = ""

    @property
    def name(self) -> str:
        """Name of the dataset, which is what tables call it."""
        return self.folder.name


@dataclass(frozen=True)
class Rejected:
    """A clip without targets: the slug that goes into quarantine, and why in words."""

    reason: str
    message: str


class Filler:
    """One expert and the dataset it fills."""

    def __init__(self, expert: Expert, dataset: TargetDataset, batch_seconds: float) -> None:
        if expert.fingerprint != dataset.meta.expert_fingerprint:
            raise RuntimeError(
                f"{expert.spec.name} here has fingerprint {expert.fingerprint[:16]}, but {dataset.folder.name} "
                f"was made for {dataset.meta.expert_fingerprint[:16]}: the machines hold different weights or code"
            )
        self.expert, self.dataset = expert, dataset
        self._max_samples = int(batch_seconds * expert.spec.sample_rate)

    def fill(self, clips: Sequence[Clip]) -> list[str]:
        """Encode clips and write one part file; the state of each clip, in order.

        What another job, or this one before it was interrupted, has stored meanwhile is not encoded again.
        """
        held = self.dataset.held(clip.clip_id for clip in clips)
        todo = [clip for clip in clips if clip.clip_id not in held]
        states = dict(zip((clip.clip_id for clip in todo), self._fill(todo), strict=True))
        return [states.get(clip.clip_id, STORED) for clip in clips]

    def frames(self, clips: Sequence[Clip]) -> list[np.ndarray | Rejected]:
        """Encode clips and store nothing: the frames of each as they would be stored, or why there are none."""
        results = self._results(clips)
        return [results[i] for i in range(len(clips))]

    def _fill(self, clips: Sequence[Clip]) -> list[str]:
        results = self._results(clips)
        stored = [(clips[i].clip_id, frames) for i, frames in results.items() if isinstance(frames, np.ndarray)]
        rejected = {i: result for i, result in results.items() if isinstance(result, Rejected)}
        if stored:
            self.dataset.write(stored)
        self.dataset.quarantine.write(
            [QuarantineRow(clips[i].clip_id, clips[i].uri, why.reason, why.message) for i, why in rejected.items()]
        )
        return [rejected[i].reason if i in rejected else STORED for i in range(len(clips))]

    def _results(self, clips: Sequence[Clip]) -> dict[int, np.ndarray | Rejected]:
        """What became of each clip, by position."""
        spec = self.expert.spec
        need = f"{spec.name} needs {spec.min_samples / spec.sample_rate:.3f} s, and the block one position"
        short = [i for i, clip in enumerate(clips) if self._too_short(clip)]
        long = [i for i in range(len(clips)) if i not in set(short)]
        results: dict[int, np.ndarray | Rejected] = {
            i: Rejected(TOO_SHORT, f"{len(clips[i].wave) / spec.sample_rate:.3f} s; {need}") for i in short
        }
        for batch in make_batches([len(clips[i].wave) for i in long], self._max_samples):
            places = [long[k] for k in batch]
            results.update(zip(places, self._encode([clips[i] for i in places]), strict=True))
        return results

    def _encode(self, clips: Sequence[Clip]) -> list[np.ndarray | Rejected]:
        """Frames as they are stored; when a batch fails, clip by clip, so that only the culprit is lost."""
        try:
            encoded = self.expert.encode([clip.wave for clip in clips])
        except Exception as error:  # noqa: BLE001 - whatever an expert raises becomes a row with its reason
            if len(clips) > 1:
                return [frames for clip in clips for frames in self._encode([clip])]
            reason = REFUSED if isinstance(error, ValueError) else CRASHED
            return [Rejected(reason, f"{type(error).__name__}: {error}")]
        return [self._stored(clip, frames) for clip, frames in zip(clips, encoded, strict=True)]

    def _stored(self, clip: Clip, frames: np.ndarray) -> np.ndarray | Rejected:
        spec = self.expert.spec
        if frames.ndim != 2 or frames.shape[0] == 0 or frames.shape[1] != spec.width:
            return Rejected(BAD_FRAMES, f"{spec.name} gave frames of shape {frames.shape}, not (L, {spec.width})")
        if not fits_half(frames):
            return Rejected(NOT_FINITE, f"{spec.name} gave frames that are not finite in float16")
        if self.dataset.meta.alignment == "block":
            frames = align(frames, spec.rate, spec.first_center, block_length(clip.num_samples))
        return frames.astype(np.float16)

    def _too_short(self, clip: Clip) -> bool:
        return len(clip.wave) < self.expert.spec.min_samples or block_length(clip.num_samples) == 0


class ExpertPool:
    """What each actor of a pool is: it loads its experts once and fills their datasets, table after table."""

    def __init__(
        self,
        tasks: Sequence[ExpertTask],
        load: LoadExpert,
        *,
        device: str,
        batch_seconds: float,
        keep_rates: Sequence[int] = (),
        decoder: Decoder | None = None,
        frames: bool = False,
    ) -> None:
        """*keep_rates*: sample rates that later pools still need; other waveforms leave the table here.

        With a *decoder* the actor takes tables of work and decodes them itself. With *frames* it stores nothing and
        adds the frames to the table instead.
        """
        self._decoder, self._frames = decoder, frames
        self._fillers = [Filler(load(task.config, device), TargetDataset(task.folder), batch_seconds) for task in tasks]
        self._keep = {wave_column(rate) for rate in keep_rates}

    def __call__(self, table: pa.Table) -> pa.Table:
        """Encode what each row wants; adds ``state:<dataset>`` and ``seconds:<dataset>``, drops used waveforms.

        Where frames are not stored, the columns of a part file follow as ``<column>:<dataset>``, empty where a row has
        none.
        """
        if self._decoder is not None:
            table = self._decoder(table)
        wanted = table.column("wanted").to_pylist()
        for filler in self._fillers:
            name = filler.dataset.folder.name
            rows = [row for row, names in enumerate(wanted) if name in names]
            started = time.perf_counter()
            clips = _clips(table, rows, filler.expert.spec.sample_rate)
            if self._frames:
                table, found = _with_frames(table, filler, dict(zip(rows, filler.frames(clips), strict=True)))
            else:
                found = filler.fill(clips)
            states = dict(zip(rows, found, strict=True))
            spent = (time.perf_counter() - started) / max(1, len(rows))
            column = [states.get(row) for row in range(len(table))]
            table = table.append_column(f"state:{name}", pa.array(column, pa.string()))
            seconds = [spent if row in states else 0.0 for row in range(len(table))]
            table = table.append_column(f"seconds:{name}", pa.array(seconds, pa.float64()))
        used = [c for c in table.column_names if c.startswith("wave:") and c not in self._keep]
        return table.drop_columns(used)


def _with_frames(
    table: pa.Table, filler: Filler, results: Mapping[int, np.ndarray | Rejected]
) -> tuple[pa.Table, list[str]]:
    """The table with one expert's frames, and the state of each row that it wanted."""
    nothing = np.zeros((0, filler.expert.spec.width), np.float16)
    frames = {row: result for row, result in results.items() if isinstance(result, np.ndarray)}
    columns = filler.dataset.codec.encode([frames.get(row, nothing) for row in range(len(table))])
    for column, values in columns.items():
        table = table.append_column(f"{column}:{filler.dataset.folder.name}", values)
    return table, [STORED if isinstance(result, np.ndarray) else result.reason for result in results.values()]


def _clips(table: pa.Table, rows: Sequence[int], rate: int) -> list[Clip]:
    waves = table.column(wave_column(rate))
    ids, uris, samples = (table.column(name) for name in ("clip_id", "uri", "num_samples"))
    return [
        Clip(ids[row].as_py(), uris[row].as_py(), waves[row].values.to_numpy(), samples[row].as_py()) for row in rows
    ]
