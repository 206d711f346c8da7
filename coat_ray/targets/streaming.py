"""Targets that come straight from the experts while the student trains, in the order of its batches: nothing is stored.

The same operators run as for the store, so the frames are the same to the bit. Knows nothing of Ray: the tables come
from ``Pipeline.frames``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from coat_ray.audio.states import UNKNOWN
from coat_ray.targets.plan import ClipRef, ClipWork
from coat_ray.targets.pool import STORED
from coat_ray.targets.store import TargetDataset, TargetNotFound

BLOCK_SECONDS = 120.0
"""Audio in one block: enough for an expert's batches, little enough to wait for when training begins."""


def stream_blocks(steps: Sequence[Sequence[ClipRef]], block_seconds: float = BLOCK_SECONDS) -> list[list[ClipWork]]:
    """The clips of consecutive steps, cut into blocks between steps; inside a block each clip stands once.

    Args:
        steps: the clips of each step that is still to come.
        block_seconds: audio after which a block is closed.
    """
    blocks: list[dict[str, ClipWork]] = [{}]
    for step in steps:
        if sum(clip.seconds for clip in blocks[-1].values()) >= block_seconds:
            blocks.append({})
        for clip in step:
            blocks[-1].setdefault(clip.uri, ClipWork(clip.uri, *UNKNOWN, clip.seconds or 0.0))
    return [list(block.values()) for block in blocks if block]


class TargetStream:
    """The tables of ``Pipeline.frames``, taken one after the other; only the last one is kept."""

    def __init__(self, tables: Callable[[], Iterator[pa.Table]]) -> None:
        """*tables* starts the pipeline; it is called when the first clip is asked for."""
        self._start = tables
        self._tables: Iterator[pa.Table] | None = None
        self._table: pa.Table | None = None
        self._rows: dict[str, int] = {}

    def row(self, clip_id: str) -> dict[str, pa.Scalar]:
        """One clip's row of the first table, from the last one on, that holds it.

        Raises:
            LookupError: the stream ended without it.
        """
        if self._tables is None:
            self._tables = self._start()
        while self._table is None or clip_id not in self._rows:
            self._table = next(self._tables, None)
            if self._table is None:
                raise LookupError(clip_id)
            self._rows = {name: row for row, name in enumerate(self._table.column("clip_id").to_pylist()) if name}
        row = self._rows[clip_id]
        return {name: self._table.column(name)[row] for name in self._table.column_names}


class StreamedTargets(TargetDataset):
    """One expert's frames out of a stream; clips are read in the order of the steps that it was made for."""

    def __init__(self, dataset: TargetDataset, stream: TargetStream) -> None:
        super().__init__(dataset.folder)
        self._stream = stream

    def read(self, clip_id: str) -> np.ndarray:
        """Frames of one clip, float16 (L, E).

        Raises:
            TargetNotFound: the expert gave none, or the clip is not in the stream.
        """
        name = self.folder.name
        try:
            row = self._stream.row(clip_id)
        except LookupError as error:
            raise TargetNotFound(f"{name}: clip {clip_id[:16]} is not in the stream of targets") from error
        if (state := row[f"state:{name}"].as_py()) != STORED:
            raise TargetNotFound(f"{name} has no targets of clip {clip_id[:16]}: {state}")
        return self.codec.decode({column: row[f"{column}:{name}"] for column in self.codec.columns}, self.spec.width)
