"""What a dataset of the store holds, counted for a listing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq

from coat_ray.targets.parts import part_files
from coat_ray.targets.store import TargetDataset


@dataclass(frozen=True)
class Summary:
    """One dataset. ``error``: mean relative error of its clips against float16, where the precision loses any."""

    name: str
    expert: str
    fingerprint: str
    alignment: str
    rate: float
    width: int
    dtype: str
    clips: int
    bytes: int
    parts: int
    quarantined: int
    error: float | None


def summarise(dataset: TargetDataset) -> Summary:
    """Count what one dataset holds."""
    files = part_files(dataset.folder)
    errors: list[float] = []
    if dataset.meta.dtype != "float16":
        errors = [e for file in files for e in pq.read_table(file, columns=["error"]).column(0).to_pylist()]
    held = dataset.clip_ids()
    return Summary(
        name=dataset.folder.name,
        expert=dataset.spec.name,
        fingerprint=dataset.fingerprint,
        alignment=dataset.meta.alignment,
        rate=dataset.meta.rate,
        width=dataset.spec.width,
        dtype=dataset.meta.dtype,
        clips=len(held),
        bytes=sum(file.stat().st_size for file in files),
        parts=len(files),
        quarantined=len({row.clip_id or row.uri for row in dataset.quarantine.rows()} - held),
        error=float(np.mean(errors)) if errors else None,
    )
