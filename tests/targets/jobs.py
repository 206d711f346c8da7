"""Encode jobs in processes of their own, which tests kill or run side by side: on the session's Ray, or without one."""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq

from coat_ray.audio import AudioLimits
from coat_ray.cluster import connect
from coat_ray.config import ExpertConfig, ResourcesConfig
from coat_ray.targets.decode import Decoder, work_table
from coat_ray.targets.encode import encode_corpus
from coat_ray.targets.plan import Claims, ClipRef, ClipWork, make_blocks
from coat_ray.targets.pool import ExpertPool, ExpertTask, LoadExpert
from coat_ray.targets.store import TargetStore

from .loudness import Slow

EXPERTS = {"low": ExpertConfig(model="loudness16000"), "high": ExpertConfig(model="loudness32000", alignment="native")}
RESOURCES = ResourcesConfig(encode_actors=1, encode_cpus=0.5)


@dataclass(frozen=True)
class Local:
    """Stands for ``Pipeline``: its operators, called in this process block after block, so that no Ray has to start."""

    tasks: Sequence[ExpertTask]
    resources: ResourcesConfig
    load: LoadExpert
    limits: AudioLimits

    def stream(self, work: Sequence[ClipWork], claims: Claims) -> Iterator[pa.Table]:
        decoder = Decoder({task.name: task.sample_rate for task in self.tasks}, self.limits, claims.claim)
        pool = ExpertPool(self.tasks, self.load, device="cpu", batch_seconds=60.0, decoder=decoder)
        return (pool(work_table(block)) for block in make_blocks(work, num_actors=1))


def start_job(address: str, uris: list[str], store: Path) -> BaseProcess:
    """Start an encode job on the Ray at *address*, slow enough to be met at work."""
    return _start(_encode, address, uris, store)


def start_local_job(uris: list[str], store: Path) -> BaseProcess:
    """Start an encode job that does everything in the one process that is started."""
    return _start(_encode_locally, uris, store)


def _start(function: Callable[..., None], *arguments: Any) -> BaseProcess:
    """Fork from a server that has loaded the libraries once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.targets.jobs", "coat_ray.targets.pipeline"])
    job = context.Process(target=function, args=arguments)
    job.start()
    return job


def _encode(address: str, uris: list[str], store: Path) -> None:
    os.environ["RAY_ADDRESS"] = address
    with connect():
        encode_corpus(block_each(uris), EXPERTS, TargetStore(store), RESOURCES, load=Slow(0.3))


def _encode_locally(uris: list[str], store: Path) -> None:
    with mock.patch("coat_ray.targets.encode.Pipeline", Local):
        encode_corpus(block_each(uris), EXPERTS, TargetStore(store), RESOURCES, load=Slow(0.01))


def block_each(uris: list[str]) -> list[ClipRef]:
    """Clips that say they are long, so that each is a block and a part file of its own."""
    return [ClipRef(uri, seconds=31.0) for uri in uris]


def stored_rows(store: Path) -> Counter[tuple[str, str]]:
    """Every row of every part, counted by (dataset, clip id), read with pyarrow alone."""
    return Counter(
        (path.parent.name, clip_id)
        for path in store.glob("*/part-*.parquet")
        for clip_id in pq.read_table(path, columns=["clip_id"]).column(0).to_pylist()
    )


def count_parts(store: Path) -> int:
    """Part files so far; counting them is cheap enough to be done all the time."""
    return sum(1 for _ in store.glob("*/part-*.parquet"))
