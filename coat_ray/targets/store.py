"""The store of targets: one Parquet dataset per expert fingerprint, where experts and the student meet.

A dataset's folder ``<expert name>-<fingerprint[:16]>/`` holds ``expert.json`` (:class:`TargetMeta`),
``head.safetensors`` (the teacher's frozen head, where it has one), ``part-*.parquet`` (parts.py),
``quarantine-*.parquet`` (quarantine.py) and ``index.parquet`` (a cache that may be deleted). Nothing here runs an
expert.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict
from safetensors.torch import load_file, save

from coat_ray.config import ExpertConfig
from coat_ray.experts.base import HEAD_KINDS, ExpertSpec, FrozenHead
from coat_ray.provenance import fingerprint as digest
from coat_ray.storage import atomic_write
from coat_ray.targets.align import BLOCK_FIRST_CENTER, BLOCK_RATE
from coat_ray.targets.clips import ClipIndex
from coat_ray.targets.frames import CODECS
from coat_ray.targets.parts import PartIndex, PartReader, Rows, only_writer, write_part
from coat_ray.targets.quarantine import Quarantine

Alignment = Literal["block", "native"]
Dtype = Literal["float16", "int8"]

TARGET_VERSION = 1
"""Raised when the same expert would store other frames (alignment, file format)."""

_META, _HEAD = "expert.json", "head.safetensors"
_DATASET = re.compile(r"[^.].*-[0-9a-f]{16}")


class TargetNotFound(LookupError):
    """A dataset or a clip that the store does not hold; the message says what to run."""


class TargetMeta(BaseModel):
    """What ``expert.json`` says. ``rate`` and ``first_center`` are those of the frames as stored."""

    model_config = ConfigDict(frozen=True)

    fingerprint: str
    expert_fingerprint: str
    alignment: Alignment
    dtype: Dtype = "float16"
    rate: float
    first_center: float
    spec: dict[str, Any]
    head_kind: str | None = None
    head_config: dict[str, Any] = {}


def target_fingerprint(expert_fingerprint: str, alignment: Alignment, dtype: Dtype = "float16") -> str:
    """Hex digest of what decides the stored frames: the expert, how its frames were aligned, and their precision."""
    parts: dict[str, Any] = {"expert": expert_fingerprint, "alignment": alignment, "version": TARGET_VERSION}
    if dtype != "float16":  # absent for float16, so that stores made before there was a choice stay valid
        parts["dtype"] = dtype
    return digest(parts)


def alignment_of(config: ExpertConfig, spec: ExpertSpec) -> Alignment:
    """How an expert's frames are stored: as configured, else on the grid that holds fewer frames.

    An expert slower than the block (PANNs, 3.125 Hz) stays at its own rate and is aligned when it is read.
    """
    return config.alignment or ("native" if spec.rate < BLOCK_RATE else "block")


class TargetDataset:
    """Frames of one expert by clip id. Open it in each process that reads; pickling carries only the folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.meta = TargetMeta.model_validate_json((folder / _META).read_text())
        self.quarantine = Quarantine(folder)
        self._index = PartIndex(folder)
        self.codec = CODECS[self.meta.dtype]
        self._reader = PartReader(folder, self.codec)

    def __reduce__(self) -> tuple[Any, ...]:
        return TargetDataset, (self.folder,)

    @property
    def fingerprint(self) -> str:
        """Digest over the expert and the alignment."""
        return self.meta.fingerprint

    @property
    def spec(self) -> ExpertSpec:
        """The expert's own facts; see ``meta`` for the rate and first centre of the stored frames."""
        return ExpertSpec(**{**self.meta.spec, "labels": tuple(self.meta.spec["labels"])})

    def clip_ids(self) -> set[str]:
        """Ids of all clips that are stored now, by whichever process."""
        return set(self._refreshed())

    def held(self, clip_ids: Iterable[str]) -> set[str]:
        """Those of *clip_ids* that are stored now."""
        rows = self._refreshed()
        return {clip_id for clip_id in clip_ids if clip_id in rows}

    def __contains__(self, clip_id: str) -> bool:
        return self._locate(clip_id) is not None

    def __len__(self) -> int:
        return len(self.clip_ids())

    def read(self, clip_id: str) -> np.ndarray:
        """Frames of one clip, float16 (L, E).

        Raises:
            TargetNotFound: the clip was never encoded, or is in quarantine.
        """
        place = self._locate(clip_id)
        if place is None:
            reason = self.quarantine.reasons().get(clip_id)
            why = f"it is in quarantine ({reason})" if reason else "run jobs/encode.py on the corpus that holds it"
            raise TargetNotFound(f"{self.folder.name} has no targets of clip {clip_id[:16]}: {why}")
        return self._reader.read(*place)

    def write(self, rows: Rows) -> Path | None:
        """Add (clip id, frames (L, E)) rows as one part file; all of them appear at once.

        A clip that is stored already, by whichever process, is left out; None when nothing is left to write.
        """
        with only_writer(self.folder):
            held = self.held(clip_id for clip_id, _ in rows)
            new = [(clip_id, frames) for clip_id, frames in rows if clip_id not in held]
            return write_part(self.folder, new, self.codec) if new else None

    def load_head(self) -> FrozenHead | None:
        """The teacher's frozen last layer, or None where it has none."""
        if self.meta.head_kind is None:
            return None
        head = HEAD_KINDS[self.meta.head_kind](**self.meta.head_config)
        head.load_state_dict(load_file(self.folder / _HEAD))
        return head.eval()

    def _refreshed(self) -> dict[str, tuple[str, int]]:
        self._index.refresh()
        return self._index.rows

    def _locate(self, clip_id: str) -> tuple[str, int] | None:
        if clip_id not in self._index.rows:
            self._index.refresh()
        return self._index.rows.get(clip_id)


class TargetStore:
    """A folder of target datasets, and the index of the clips they were made from."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.clips = ClipIndex(self.folder / "clips")

    def __reduce__(self) -> tuple[Any, ...]:
        return TargetStore, (self.folder,)

    def dataset(self, fingerprint: str) -> TargetDataset:
        """The dataset with this fingerprint.

        Raises:
            TargetNotFound: no such dataset.
        """
        for folder in self.folder.glob(f"*-{fingerprint[:16]}"):
            if (folder / _META).is_file() and (dataset := TargetDataset(folder)).fingerprint == fingerprint:
                return dataset
        held = ", ".join(sorted(dataset.folder.name for dataset in self.datasets())) or "none"
        raise TargetNotFound(
            f"no targets with fingerprint {fingerprint[:16]} in {self.folder} (it holds: {held}); run jobs/encode.py"
        )

    def datasets(self) -> list[TargetDataset]:
        """Every dataset of the store, by name."""
        return [TargetDataset(folder) for folder in self.folders() if (folder / _META).is_file()]

    def folders(self) -> list[Path]:
        """Folders with the name of a dataset, whatever is inside; what is being removed has another."""
        found = self.folder.iterdir() if self.folder.is_dir() else ()
        return sorted(path for path in found if path.is_dir() and _DATASET.fullmatch(path.name))

    def open_or_create(
        self,
        spec: ExpertSpec,
        expert_fingerprint: str,
        head: FrozenHead | None,
        alignment: Alignment,
        dtype: Dtype = "float16",
    ) -> TargetDataset:
        """The dataset of an expert at an alignment and precision; safe when several processes create it at once."""
        fingerprint = target_fingerprint(expert_fingerprint, alignment, dtype)
        folder = self.folder / f"{spec.name}-{fingerprint[:16]}"
        if not (folder / _META).is_file():
            on_block = alignment == "block"
            meta = TargetMeta(
                fingerprint=fingerprint,
                expert_fingerprint=expert_fingerprint,
                alignment=alignment,
                dtype=dtype,
                rate=BLOCK_RATE if on_block else spec.rate,
                first_center=BLOCK_FIRST_CENTER if on_block else spec.first_center,
                spec=spec.to_json(),
                head_kind=head.kind if head else None,
                head_config=head.config() if head else {},
            )
            folder.mkdir(parents=True, exist_ok=True)
            if head is not None:
                atomic_write(folder / _HEAD, save({k: v.contiguous() for k, v in head.state_dict().items()}))
            atomic_write(folder / _META, meta.model_dump_json(indent=2))  # last: it makes the dataset exist
        return TargetDataset(folder)
