"""Whether everything in a store can be read, says what it is, and stands where the index points."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from coat_ray.targets.frames import CODECS, FrameCodec
from coat_ray.targets.parts import INDEX, UNREADABLE, part_files, readable
from coat_ray.targets.store import TargetDataset, TargetStore


@dataclass(frozen=True)
class Damage:
    """A file that is not as it should be."""

    path: Path
    problem: str


@dataclass
class Verified:
    """What reading a whole dataset found. ``repeated``: rows of a clip that another row holds with the same frames."""

    name: str
    parts: int = 0
    clips: int = 0
    repeated: int = 0
    damage: list[Damage] = field(default_factory=list)


def verify(store: TargetStore) -> list[Verified]:
    """Read everything that the store holds, dataset by dataset."""
    return [_verify_dataset(folder) for folder in store.folders()]


def _verify_dataset(folder: Path) -> Verified:
    found = Verified(folder.name)
    try:
        dataset = TargetDataset(folder)
        dataset.load_head()
    except UNREADABLE as error:
        found.damage.append(Damage(folder, f"the dataset cannot be opened: {error}"))
        return found
    codec, width = CODECS[dataset.meta.dtype], dataset.spec.width
    places: dict[str, tuple[str, int]] = {}
    digests: dict[str, bytes] = {}
    for file in part_files(folder):
        found.parts += 1
        try:
            for row, (clip_id, digest) in enumerate(_read_part(file, codec, width)):
                if digests.setdefault(clip_id, digest) != digest:
                    found.damage.append(Damage(file, f"clip {clip_id[:16]} is also in another part, with other frames"))
                found.repeated += clip_id in places
                places.setdefault(clip_id, (file.name, row))
        except UNREADABLE as error:
            found.damage.append(Damage(file, str(error)))
    found.clips = len(places)
    found.damage += _index_damage(folder, places)
    found.damage += [Damage(file, "not readable") for file in folder.glob("quarantine-*.parquet") if not readable(file)]
    return found


def _read_part(file: Path, codec: FrameCodec, width: int) -> Iterator[tuple[str, bytes]]:
    """Id and digest of the frames of every row.

    Raises:
        ValueError: a row whose frames do not fit its length and the expert's width, or are not finite.
    """
    names = ["clip_id", *codec.columns, "length", "width"]
    with pq.ParquetFile(file) as parquet:
        for group in range(parquet.metadata.num_row_groups):
            table = parquet.read_row_group(group, columns=names)
            for row in range(table.num_rows):
                values = {name: table.column(name)[row] for name in names}
                clip_id, stated = values["clip_id"].as_py(), (values["length"].as_py(), values["width"].as_py())
                frames = codec.decode(values, width)
                if stated != frames.shape:
                    raise ValueError(f"clip {clip_id[:16]}: frames {frames.shape}, stated {stated}")
                if not np.isfinite(frames).all():
                    raise ValueError(f"clip {clip_id[:16]}: frames are not finite")
                yield clip_id, hashlib.sha256(frames.tobytes()).digest()


def _index_damage(folder: Path, places: dict[str, tuple[str, int]]) -> list[Damage]:
    path = folder / INDEX
    if not path.is_file():
        return []
    try:
        rows = pq.read_table(path).to_pylist()
    except UNREADABLE as error:
        return [Damage(path, f"the index cannot be read: {error}")]
    wrong = [row for row in rows if places.get(row["clip_id"]) != (row["part"], row["row"])]
    gone = [row for row in wrong if (folder / row["part"]).is_file()]  # an index may lag behind parts that were removed
    return [Damage(path, f"the index points wrong for {len(gone)} clips")] if gone else []
