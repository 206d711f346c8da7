"""One engine as a replica of Ray Serve: events of an answer as they come, several at a time where it is fast."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import ray
from ray import serve as ray_serve

from coat_ray.inference.engine import Engine
from coat_ray.inference.engines import open_engine
from coat_ray.inference.handle import Event
from coat_ray.inference.requests import Delta, Request
from coat_ray.model.devices import device_of
from coat_ray.storage import Storage
from serve.hosting.gathering import Gathering
from serve.hosting.metrics import EngineMetrics
from serve.hosting.options import HostingOptions
from serve.hosting.pins import LOOK_EVERY_S, Pins, alias_source
from serve.rounds import keep_doing

logger = logging.getLogger(__name__)

REMEMBERED_ADAPTERS = 64
"""Adapters for which Serve remembers that this replica has answered with them, and sends it the next such request.
What really is in memory is the engine's own decision, by bytes."""

MEASURE_EVERY_S = 2.0


@dataclass(frozen=True)
class Front:
    """What an engine hears: samples a second, and the longest clip in samples."""

    sample_rate: int
    window_samples: int


class EngineReplica:
    """A base model in memory, and the adapters that are asked for."""

    def __init__(self, options: HostingOptions) -> None:
        self._pieces_s = options.pieces_seconds
        gpus = len(ray.get_gpu_ids())
        if not gpus:  # Ray would show all of the node's, and vLLM takes what it sees
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        self._engine = open_engine(options.backbone, options.chosen_limits, device_of(gpus))
        metrics = EngineMetrics(options.base)
        self._rounds = [keep_doing(lambda: metrics.show(self._engine.stats()), MEASURE_EVERY_S)]
        if isinstance(self._engine, Engine):  # the other one does not pin
            pins = Pins(self._engine, options.pinned, partial(alias_source, Storage.default()))
            pins.look()
            self._rounds.append(keep_doing(pins.look, LOOK_EVERY_S))

    def front(self) -> Front:
        """What the doors must know of the base."""
        front = self._engine.front
        return Front(front.sample_rate, front.window_samples)

    async def answer(self, request: Request) -> AsyncIterator[list[Event]]:
        """The events of one request in order; the last one is a result, or the reason that there is none."""
        if request.adapter is not None:
            await self._remembered(request.adapter.key)
        events = Gathering(self._pieces_s)
        try:
            handle = await asyncio.to_thread(self._engine.submit, request, events.put)
        except Exception as refusal:  # noqa: BLE001 - it is told to whoever asked, as any event
            yield [refusal]
            return
        try:
            while True:
                come = await events.take()
                yield come
                if not isinstance(come[-1], Delta):
                    return
        finally:
            handle.cancel()  # of no effect on one that has ended

    async def check_health(self) -> None:
        """For Serve, which replaces a replica that is not well.

        Raises:
            RuntimeError: the engine has ended.
        """
        if not self._engine.alive:
            raise RuntimeError("the engine's thread has ended")

    @ray_serve.multiplexed(max_num_models_per_replica=REMEMBERED_ADAPTERS)
    async def _remembered(self, key: str) -> Any:
        return key

    def __del__(self) -> None:
        """Serve is done with this replica, and no request is left."""
        for stopped in getattr(self, "_rounds", ()):
            stopped.set()
        if hasattr(self, "_engine"):
            self._engine.stop()
