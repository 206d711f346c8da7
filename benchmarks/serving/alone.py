"""An engine alone in a process of its own, asked from outside: what a server's answers are held against."""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from types import TracebackType
from typing import Self

import torch

from benchmarks.hosted import QUESTION, noise
from benchmarks.serving.world import Asked
from coat_ray.config import BackboneConfig
from coat_ray.inference.engine import Engine
from coat_ray.inference.requests import Request, Sampling

_engines: list[Engine] = []
"""The one of this process."""


class Alone:
    """The base in a process that does nothing else, with one thread as a replica has."""

    def __init__(self, base: BackboneConfig) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._process = ProcessPoolExecutor(1, mp_context=spawn, initializer=_open, initargs=(base,))
        self.seconds(Asked(seed=10**6))

    def seconds(self, asked: Asked) -> float:
        """What the engine takes for a question, measured beside it."""
        return self._process.submit(_ask, asked).result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.shutdown()


def _open(base: BackboneConfig) -> None:
    torch.set_num_threads(1)
    _engines.append(Engine.open(base, device=torch.device("cpu")))  # as a replica without a GPU


def _ask(asked: Asked) -> float:
    messages, clip = [{"role": "user", "content": f"<audio>\n{QUESTION}"}], noise(asked.seed, asked.seconds)
    began = time.perf_counter()
    _engines[0].submit(Request(messages, [clip], sampling=Sampling(max_tokens=asked.tokens), stream=False)).result()
    return time.perf_counter() - began
