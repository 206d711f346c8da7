"""A benchmark's data in a folder, as a manifest: ``datasets.save_to_disk``, Parquet or JSONL, in their own schema.

Parquet and JSONL are used where they lie. What ``save_to_disk`` wrote is copied once, undecoded, into a cache.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from coat_ray.corpus.embedded import import_dataset, parquet_manifest
from coat_ray.corpus.manifest import Manifest, ManifestError, read_manifest
from coat_ray.evaluation.benchmarks import PUBLIC
from coat_ray.evaluation.benchmarks.entry import PublicBenchmark
from coat_ray.provenance import fingerprint

_SAVED = ("state.json", "dataset_dict.json")
"""What ``save_to_disk`` leaves in a folder: of one split, of several."""


class DataMissing(ManifestError):
    """No data for a benchmark; the message says how to obtain them."""


def benchmark_data(benchmark: PublicBenchmark, data: Path | None, cache: Path) -> Manifest:
    """The questions of a benchmark.

    Args:
        benchmark: which.
        data: its folder, a file in it, or a folder that holds one of the benchmark's name.
        cache: where a copy goes that ``save_to_disk``'s format needs.

    Raises:
        DataMissing: no folder given, or nothing in it that can be read.
        ManifestError: rows that are not in the benchmark's schema.
    """
    how = f"to obtain {benchmark.name}: {benchmark.source.how} (licence: {benchmark.licence})"
    if data is None:
        raise DataMissing(f"{benchmark.name} has no data here; name their folder with --data; {how}")
    place = data / benchmark.name if (data / benchmark.name).exists() else data
    if place == data and any((data / name).exists() for name in PUBLIC):
        raise DataMissing(f"{data} holds folders of benchmarks, and none called {benchmark.name}; {how}")
    for read in (_saved, _parquet, _jsonl):
        if manifest := read(benchmark, place, cache):
            return _distinct(benchmark, manifest)
    raise DataMissing(f"{place} holds no saved dataset, Parquet or JSONL; {how}")


def _saved(benchmark: PublicBenchmark, place: Path, cache: Path) -> Manifest | None:
    if not any((place / name).is_file() for name in _SAVED):
        return None
    from datasets import DatasetDict, load_from_disk  # noqa: PLC0415 - the extra coat-ray[hf]

    state = sorted((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in place.rglob("*.arrow"))
    folder = cache / f"{benchmark.name}-{fingerprint(state)[:12]}"
    split = "test"
    if not (folder / f"{split}.jsonl").is_file():
        dataset = load_from_disk(str(place))
        if isinstance(dataset, DatasetDict):
            if benchmark.source.split not in dataset:
                there = ", ".join(dataset)
                raise ManifestError(f"{place} has no split {benchmark.source.split!r}; there are {there}")
            dataset = dataset[benchmark.source.split]
        import_dataset(dataset, folder, split, benchmark)
    return read_manifest(folder / f"{split}.jsonl")


def _parquet(benchmark: PublicBenchmark, place: Path, cache: Path) -> Manifest | None:  # noqa: ARG001
    paths = [place] if place.suffix == ".parquet" and place.is_file() else _files(place, benchmark, ".parquet")
    if not paths:
        return None
    root = place if place.is_dir() else place.parent
    rows = []
    for path in paths:
        inside = path.parent.relative_to(root)
        rows += [
            row.model_copy(update={"audios": tuple(str(inside / uri) for uri in row.audios)})
            for row in parquet_manifest(path, benchmark).rows
        ]
    return Manifest(tuple(rows), root)


def _jsonl(benchmark: PublicBenchmark, place: Path, cache: Path) -> Manifest | None:  # noqa: ARG001
    paths = [place] if place.suffix == ".jsonl" and place.is_file() else _files(place, benchmark, ".jsonl")
    if not paths:
        return None
    root = place if place.is_dir() else place.parent
    rows = []
    for path in paths:
        for number, doc in _lines(path):
            clip = doc.get(benchmark.audio)
            uri = clip.get("path") if isinstance(clip, dict) else clip
            if not isinstance(uri, str) or not uri:
                raise ManifestError(f"{path} line {number}: no audio file in {benchmark.audio!r}")
            rows.append(benchmark.row(doc, f"{path.stem}-{number}", _beside(path.parent, root, uri)))
    return Manifest(tuple(rows), root)


def _files(place: Path, benchmark: PublicBenchmark, ending: str) -> list[Path]:
    """Files of the split, by their name as the hub writes it (``test-00000-of-00002``); all where none is so called."""
    if not place.is_dir():
        return []
    found = sorted(place.rglob(f"*{ending}"))
    named = [path for path in found if path.stem.partition("-")[0] == benchmark.source.split]
    return named or found


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    doc = json.loads(line)
                except ValueError as error:
                    raise ManifestError(f"{path} line {number}: not JSON ({error})") from error
                if not isinstance(doc, dict):
                    raise ManifestError(f"{path} line {number}: expected an object")
                yield number, doc


def _beside(folder: Path, root: Path, uri: str) -> str:
    return uri if "://" in uri or Path(uri).is_absolute() else str(folder.relative_to(root) / uri)


def _distinct(benchmark: PublicBenchmark, manifest: Manifest) -> Manifest:
    """Rows with an id of their own: datasets may ask several questions under one name."""
    if not manifest.rows:
        raise ManifestError(f"{benchmark.name}: the data in {manifest.folder} hold no rows")
    seen: dict[str, int] = {}
    rows = []
    for row in manifest.rows:
        seen[row.id] = seen.get(row.id, 0) + 1
        rows.append(row if seen[row.id] == 1 else row.model_copy(update={"id": f"{row.id}#{seen[row.id]}"}))
    return Manifest(tuple(rows), manifest.folder)
