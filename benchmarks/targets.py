"""How well the encode pipeline uses a machine: ``python -m benchmarks.targets [--seconds 1800] [--only NAME …]``.

Every figure is a ratio of measurements of this one run, over the four embedded experts (SpidR, PANNs, emotion2vec at
small width, the real basic-pitch). The plain loop decodes each clip once per rate, encodes it alone with each expert,
aligns and saves it. Start-up is left out on both sides: the loop's clock starts with its experts loaded, and the
pipeline's time is what the last two thirds of the clips add to that of the first third.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.clips import draw_lengths, make_clips
from benchmarks.measure import Line, PeakMemory, apart, show
from coat_ray.cluster import connect
from coat_ray.config import ExpertConfig, ResourcesConfig
from coat_ray.targets.encode import encode_corpus
from coat_ray.targets.plan import ID_RATE, ClipRef, ClipWork, make_batches, make_blocks
from coat_ray.targets.store import TargetStore

EXPERTS = {
    "speech": ExpertConfig(model="spidr"),
    "sed": ExpertConfig(model="panns"),
    "paralinguistic": ExpertConfig(model="emotion2vec"),
    "pitch": ExpertConfig(model="basic_pitch"),
}


def main() -> None:
    """Run the chosen measurements and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1800.0, help="seconds of audio in the base corpus")
    parser.add_argument("--only", nargs="*", choices=list(MEASUREMENTS), default=list(MEASUREMENTS))
    arguments = parser.parse_args()
    show("targets", arguments.only, MEASUREMENTS, arguments.seconds)


def throughput(folder: Path, seconds: float) -> list[Line]:
    """Pipeline against loop, two workers and one."""
    clips = make_clips(folder / "clips", seconds)
    one_thread, default = (apart(_loop, clips, threads) for threads in (1, os.cpu_count() or 1))
    two, one = (_pace(folder, clips, workers) for workers in (2, 1))
    return [
        Line("pipeline, 2 workers ÷ loop, 1 thread", f"{one_thread / two:.2f}", "≥ 1.7"),
        Line("pipeline, 2 workers ÷ loop, default threads", f"{default / two:.2f}", "≥ 1.2"),
        Line("time of 1 worker, 1 thread ÷ loop, 1 thread", f"{one / one_thread:.2f}", "≤ 1.10"),
    ]


def _pace(folder: Path, clips: Sequence[ClipRef], workers: int) -> float:
    """Seconds of the pipeline per second of audio, without its start-up."""
    third = clips[: len(clips) // 3]
    first, _ = apart(_pipeline, folder / f"third{workers}", third, workers)
    whole, _ = apart(_pipeline, folder / f"whole{workers}", clips, workers)
    return (whole - first) / (_audio(clips) - _audio(third))


def _audio(clips: Sequence[ClipRef]) -> float:
    return sum(clip.seconds or 0.0 for clip in clips)


def padding(folder: Path, seconds: float) -> list[Line]:  # noqa: ARG001 - one signature for all
    """Share of the samples in batches that are sound; from the plan alone, so a large corpus costs nothing."""
    lengths = draw_lengths(36_000)
    work = [ClipWork(str(i), 0, 0, length) for i, length in enumerate(lengths)]
    resources = ResourcesConfig()
    real = padded = 0.0
    for block in make_blocks(work, num_actors=2):
        sizes = [round(clip.seconds * ID_RATE) for clip in block]
        for batch in make_batches(sizes, int(resources.encode_batch_seconds * ID_RATE)):
            real += sum(sizes[i] for i in batch)
            padded += len(batch) * max(sizes[i] for i in batch)
    what = f"padding efficiency, median {np.median(lengths):.1f} s, P90 {np.quantile(lengths, 0.9):.1f} s"
    return [Line(what, f"{real / padded:.3f}", "≥ 0.95")]


def scaling(folder: Path, seconds: float) -> list[Line]:
    """Memory and time at five and ten times the clips, and a second run that finds nothing to do."""
    sizes = (1, 5, 10)
    corpora = [make_clips(folder / f"times{n}", n * seconds / 3, seed=n) for n in sizes]
    runs = [apart(_pipeline, folder / f"times{n}-store", clips) for n, clips in zip(sizes, corpora, strict=True)]
    again, _ = apart(_pipeline, folder / "times10-store", corpora[-1])
    (once, small), (fivefold, _), (tenfold, large) = runs
    audio = [_audio(clips) for clips in corpora]
    early, late = (fivefold - once) / (audio[1] - audio[0]), (tenfold - fivefold) / (audio[2] - audio[1])
    return [
        Line("peak memory at 10 times the audio ÷ at once", f"{large / small:.2f}", "≤ 1.10"),
        Line("time per second of audio, 5 to 10 times ÷ 1 to 5 times", f"{late / early:.2f}", "0.90 to 1.10"),
        Line("second run with nothing missing ÷ first", f"{again / tenfold:.1%}", "< 5 %"),
    ]


def size(folder: Path, seconds: float) -> list[Line]:
    """Bytes in the store per second of audio."""
    clips = make_clips(folder / "sized", min(seconds, 300), seed=3)
    store = TargetStore(folder / "sized-store")
    small = {f"{role} int8": config.model_copy(update={"dtype": "int8"}) for role, config in EXPERTS.items()}
    with connect():
        encode_corpus(clips, EXPERTS | small, store, _resources(2))
    total = _audio(clips)
    lines = []
    for dataset in store.datasets():
        held = sum(path.stat().st_size for path in dataset.folder.glob("part-*.parquet"))
        meta, spec = dataset.meta, dataset.spec
        raw = meta.rate * spec.width * 2
        what = f"bytes per second, {spec.name} {meta.dtype} ({spec.width} wide at {meta.rate:g} Hz)"
        lines.append(Line(what, f"{held / total:,.0f}", f"{raw:,.0f} raw float16"))
    return lines


MEASUREMENTS: dict[str, Callable[[Path, float], list[Line]]] = {
    "throughput": throughput,
    "padding": padding,
    "scaling": scaling,
    "size": size,
}


def _loop(clips: Sequence[ClipRef], threads: int) -> float:
    """Seconds of the plain loop per second of audio."""
    import torch  # noqa: PLC0415 - only in the process that measures

    from coat_ray.audio import load_audio  # noqa: PLC0415
    from coat_ray.experts.registry import load_expert  # noqa: PLC0415
    from coat_ray.targets.align import align, block_length  # noqa: PLC0415

    torch.set_num_threads(threads)
    experts = {role: load_expert(config) for role, config in EXPERTS.items()}
    with tempfile.TemporaryDirectory() as out:
        start = time.perf_counter()
        for number, clip in enumerate(clips):
            length = block_length(len(load_audio(clip.uri, ID_RATE)))
            for role, expert in experts.items():
                (frames,) = expert.encode([load_audio(clip.uri, expert.spec.sample_rate)])
                aligned = align(frames, expert.spec.rate, expert.spec.first_center, length)
                np.save(f"{out}/{number}-{role}.npy", aligned.astype(np.float16))
        return (time.perf_counter() - start) / _audio(clips)


def _resources(workers: int) -> ResourcesConfig:
    return ResourcesConfig(encode_actors=workers)


def _pipeline(folder: Path, clips: Sequence[ClipRef], workers: int = 2) -> tuple[float, float]:
    """Seconds and peak memory (bytes, shared pages counted once) of one run of the pipeline on a running Ray."""
    store = TargetStore(folder)
    with connect(), PeakMemory() as memory:
        start = time.perf_counter()
        encode_corpus(clips, EXPERTS, store, _resources(workers))
        return time.perf_counter() - start, memory.peak


if __name__ == "__main__":
    main()
