"""The engine: any thread submits, one thread owns the model and lets requests join its running batch."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import torch

from coat_ray.config import BackboneConfig
from coat_ray.inference.adapters import NoRoom
from coat_ray.inference.errors import EngineStopped, QueueFull, RequestCancelled
from coat_ray.inference.handle import Event, Handle
from coat_ray.inference.limits import EngineLimits
from coat_ray.inference.requests import AdapterSource, Request
from coat_ray.inference.row import Row
from coat_ray.inference.runner import Runner
from coat_ray.model.backbones import load_backbone
from coat_ray.model.backbones.base import Backbone, FrontEnd
from coat_ray.model.devices import usable_device

logger = logging.getLogger(__name__)


DEFAULT_LIMITS = EngineLimits()


@dataclass(frozen=True)
class EngineStats:
    """What the engine holds now, and what it did since its start (the counts)."""

    waiting: int
    running: int
    adapters: tuple[str, ...]
    adapter_bytes: int
    heard_bytes: int
    adapter_loads: int
    adapter_evictions: int
    clips_encoded: int
    clips_cached: int


class Engine:
    """One base model and many adapters, answering many callers. It runs from construction until it is closed.

    Between two steps of the batch, waiting requests are admitted in the order in which they came, as far as the limits
    allow; their prompts run together and they join the batch. The rows that run wait for that, and for an adapter that
    is loaded.

    Args:
        backbone: the base model; the engine alone uses it from here on.
        config: which base it is; adapters trained on another one are refused.
        limits: what it may hold.
    """

    def __init__(self, backbone: Backbone, config: BackboneConfig, limits: EngineLimits = DEFAULT_LIMITS) -> None:
        self.limits = limits
        self._runner = Runner(backbone, config, limits)
        self._waiting: deque[Row] = deque()
        self._calls: deque[tuple[Callable[[], None], Future[None]]] = deque()
        self._work = threading.Condition()
        self._draining = self._stopping = False
        self._thread = threading.Thread(target=self._run, name="coat-engine", daemon=True)
        self._thread.start()

    @classmethod
    def open(
        cls, config: BackboneConfig, limits: EngineLimits = DEFAULT_LIMITS, device: torch.device | None = None
    ) -> Engine:
        """Load the base that *config* names on a device (None: ``usable_device``); raises as ``load_backbone``."""
        return cls(load_backbone(config).to(device or usable_device()), config, limits)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def submit(self, request: Request, on_event: Callable[[Event], None] | None = None) -> Handle:
        """Let a request wait for its turn. Laying it out and its log-mel are done here, on the caller's thread.

        Args:
            request: what is asked.
            on_event: see :class:`Handle`.

        Raises:
            RequestRefused, AdapterRefused: it cannot be answered; the message says why.
            QueueFull: as many wait as may.
            EngineStopped: the engine drains or has stopped.
        """
        self._check_open()
        handle = Handle(on_event)
        row = self._runner.row(request, handle)
        handle.when_cancelled(lambda: self._withdraw(row))
        with self._work:
            self._check_open()
            self._waiting.append(row)
            self._work.notify_all()
        return handle

    def pin(self, source: AdapterSource) -> None:
        """Load an adapter now and keep it until it is unpinned as often.

        Raises:
            AdapterRefused, AdapterTooLarge: it cannot be loaded.
            EngineStopped: the engine has stopped.
        """
        self._call(lambda: self._runner.pool.pin(source))

    def unpin(self, key: str) -> None:
        """Let a pinned adapter be evicted again."""
        self._call(lambda: self._runner.pool.unpin(key))

    @property
    def front(self) -> FrontEnd:
        """The base's front end: the rate that clips must have, and how much of them is heard."""
        return self._runner.backbone.front

    @property
    def alive(self) -> bool:
        """Whether requests are taken."""
        return self._thread.is_alive() and not (self._draining or self._stopping)

    def stats(self) -> EngineStats:
        """A look from outside; numbers may be one step apart."""
        pool, hearing = self._runner.pool, self._runner.hearing
        return EngineStats(
            waiting=len(self._waiting),
            running=len(self._runner.rows),
            adapters=tuple(pool.keys),
            adapter_bytes=pool.nbytes,
            heard_bytes=hearing.cache.nbytes,
            adapter_loads=pool.loads,
            adapter_evictions=pool.evictions,
            clips_encoded=hearing.encoded,
            clips_cached=hearing.hits,
        )

    def drain(self, timeout: float | None = None) -> bool:
        """Take no more requests, answer those that are here, stop; False if some are left after *timeout* seconds."""
        with self._work:
            self._draining = True
            self._work.notify_all()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def stop(self) -> None:
        """Stop after the step that runs now; requests that are not answered end with ``EngineStopped``."""
        with self._work:
            self._stopping = True
            self._work.notify_all()
        self._thread.join()

    def _check_open(self) -> None:
        if not self.alive:
            raise EngineStopped("the engine takes no requests any more")
        if len(self._waiting) >= self.limits.waiting:
            raise QueueFull(f"{self.limits.waiting} requests wait already; ask again in a moment")

    def _call(self, function: Callable[[], None]) -> None:
        """Run something on the model's thread, between two steps, and wait for it."""
        future: Future[None] = Future()
        with self._work:
            if not self._thread.is_alive() or self._stopping:
                raise EngineStopped("the engine has stopped")
            self._calls.append((function, future))
            self._work.notify_all()
        future.result()

    def _withdraw(self, row: Row) -> None:
        """A request that waits leaves the queue at once; one that runs is let go at the next step."""
        with self._work:
            try:
                self._waiting.remove(row)
            except ValueError:
                return
        row.handle.emit(RequestCancelled("the request was cancelled"))

    def _run(self) -> None:
        reason: Exception = EngineStopped("the engine stopped before this request was answered")
        try:
            with torch.inference_mode():
                while self._turn():
                    pass
        except Exception:
            logger.exception("the engine's thread failed")
        finally:
            self._abandon(reason)

    def _turn(self) -> bool:
        """Wait for work and do one round of it; False when there will be no more."""
        with self._work:
            self._work.wait_for(self._has_work)
            calls, self._calls = self._calls, deque()
            if self._stopping or not (self._waiting or self._runner.rows or calls):
                self._calls = calls
                return False
        for function, future in calls:
            _settle(function, future)
        if group := self._admit():
            self._runner.start(group)
        self._runner.step()
        return True

    def _has_work(self) -> bool:
        return bool(self._waiting or self._calls or self._runner.rows or self._stopping or self._draining)

    def _admit(self) -> list[Row]:
        """The waiting requests that may start now, in order, with their adapters."""
        group: list[Row] = []
        while True:
            with self._work:
                if not self._waiting or not self._runner.fits(self._waiting[0], group):
                    return group
                row = self._waiting.popleft()
            if row.handle.cancelled:
                row.handle.emit(RequestCancelled("the request was cancelled"))
                continue
            try:
                self._runner.equip(row)
            except NoRoom:
                with self._work:
                    self._waiting.appendleft(row)
                return group
            except Exception as error:  # noqa: BLE001 - it is told to the one who asked, and to nobody else
                row.handle.emit(error)
                continue
            group.append(row)

    def _abandon(self, reason: Exception) -> None:
        with self._work:
            self._stopping = True
            waiting, self._waiting = self._waiting, deque()
            calls, self._calls = self._calls, deque()
        for row in waiting:
            row.handle.emit(reason)
        for _, future in calls:
            future.set_exception(reason)
        self._runner.end(reason)


def _settle(function: Callable[[], None], future: Future[None]) -> None:
    try:
        function()
    except Exception as error:  # noqa: BLE001 - raised again where somebody waits for it
        future.set_exception(error)
    else:
        future.set_result(None)
