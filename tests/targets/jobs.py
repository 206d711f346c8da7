"""Encode jobs in processes of their own, which tests kill or run side by side. The Ray they use is the session's."""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from multiprocessing.process import BaseProcess
from pathlib import Path

import pyarrow.parquet as pq

from coat_ray.cluster import connect
from coat_ray.config import ExpertConfig, ResourcesConfig
from coat_ray.targets.encode import encode_corpus
from coat_ray.targets.plan import ClipRef
from coat_ray.targets.store import TargetStore

from .loudness import Trouble

EXPERTS = {"low": ExpertConfig(model="loudness16000"), "high": ExpertConfig(model="loudness32000", alignment="native")}
RESOURCES = ResourcesConfig(encode_actors=1, encode_cpus=0.5)


def start_job(address: str, uris: list[str], store: Path) -> BaseProcess:
    """Start a slow encode job; the libraries are loaded once, in the server that forks it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.targets.jobs", "coat_ray.targets.pipeline"])
    job = context.Process(target=_encode, args=(address, uris, store))
    job.start()
    return job


def _encode(address: str, uris: list[str], store: Path) -> None:
    os.environ["RAY_ADDRESS"] = address
    with connect():
        encode_corpus(block_each(uris), EXPERTS, TargetStore(store), RESOURCES, load=Trouble("slow", Path("/")))


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
