"""The engine in front of vLLM: the same requests, refusals and events as ours, the model in vLLM's own process."""

from __future__ import annotations

import asyncio
import logging
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from coat_ray.config import BackboneConfig
from coat_ray.inference.errors import AdapterRefused, EngineStopped, ModelFailed, QueueFull, RequestCancelled
from coat_ray.inference.handle import Event, Handle
from coat_ray.inference.requests import Request, Result
from coat_ray.inference.row import Row
from coat_ray.inference.vllm.asking import Asker
from coat_ray.inference.vllm.base import Base
from coat_ray.inference.vllm.limits import VllmLimits
from coat_ray.inference.vllm.shelf import AdapterShelf
from coat_ray.model.backbones.base import FrontEnd

if TYPE_CHECKING:
    from vllm.v1.engine.async_llm import AsyncLLM

logger = logging.getLogger(__name__)

DEFAULT_LIMITS = VllmLimits()


@dataclass(frozen=True)
class VllmStats:
    """What the engine holds now, and what it did since its start (the counts)."""

    waiting: int
    running: int
    adapters: tuple[str, ...]
    adapter_loads: int
    adapter_evictions: int


class VllmEngine:
    """One base model in vLLM and many adapters on it. It runs from construction until it is closed.

    A thread with an event loop talks to vLLM, whose process holds the weights. Requests are admitted in the order in
    which they came, as many as vLLM runs together; vLLM batches their steps.

    Args:
        config: the base, or a merged checkpoint that ``jobs/export.py`` wrote.
        limits: what it may hold.

    Raises:
        ValueError: a base that this engine does not run; the message says why.
        ImportError: there is no vLLM in this environment.
    """

    def __init__(self, config: BackboneConfig, limits: VllmLimits = DEFAULT_LIMITS) -> None:
        self.limits, self._base = limits, Base.of(config, limits)
        self._rows: dict[Row, asyncio.Task[Result | Exception] | None] = {}
        self._running = 0
        self._changed = threading.Condition()
        self._draining = self._stopping = False
        self._loop = asyncio.new_event_loop()
        started: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(started,), name="coat-vllm", daemon=True)
        self._thread.start()
        started.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def submit(self, request: Request, on_event: Callable[[Event], None] | None = None) -> Handle:
        """Let a request wait for its turn. Laying it out is done here, on the caller's thread.

        Raises:
            RequestRefused, AdapterRefused: it cannot be answered; the message says why.
            QueueFull: as many wait as may.
            EngineStopped: the engine drains or has stopped.
        """
        self._check_open()
        handle = Handle(on_event)
        row = self._base.row(request, handle)
        handle.when_cancelled(lambda: self._soon(self._withdraw, row))
        with self._changed:
            self._check_open()
            self._rows[row] = None
            self._loop.call_soon_threadsafe(self._take, row)
        return handle

    @property
    def front(self) -> FrontEnd:
        """The base's front end: the rate that clips must have, and how much of them is heard."""
        return self._base.outline.front

    @property
    def alive(self) -> bool:
        """Whether requests are taken."""
        return self._thread.is_alive() and not (self._draining or self._stopping or self._llm.errored)

    def stats(self) -> VllmStats:
        """A look from outside; numbers may be one step apart."""
        shelf, running = self._shelf, self._running
        return VllmStats(len(self._rows) - running, running, shelf.keys, shelf.loads, shelf.evictions)

    def drain(self, timeout: float | None = None) -> bool:
        """Take no more requests, answer those that are here, stop; False if some are left after *timeout* seconds."""
        with self._changed:
            self._draining = True
            if not self._changed.wait_for(lambda: not self._rows, timeout):
                return False
        self.stop()
        return True

    def stop(self) -> None:
        """Stop now; requests that are not answered end with ``EngineStopped``."""
        with self._changed:
            self._stopping = True
        self._soon(self._end.set)
        self._thread.join()

    def _soon(self, function: Callable[..., object], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            assert self._loop.is_closed()  # everything has ended already

    def _check_open(self) -> None:
        if not self.alive:
            raise EngineStopped("the engine takes no requests any more")
        if len(self._rows) >= self.limits.rows + self.limits.waiting:
            raise QueueFull(f"{self.limits.waiting} requests wait already; ask again in a moment")

    def _run(self, started: Future[None]) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner, tempfile.TemporaryDirectory() as folder:
            runner.run(self._live(started, Path(folder)))

    async def _live(self, started: Future[None], folder: Path) -> None:
        try:
            self._end = asyncio.Event()
            self._llm: AsyncLLM = await self._base.open()
            base = self._base
            self._shelf = AdapterShelf(self._llm, base.outline, base.places, self.limits.lora_rank, folder)
            self._asker, self._turns = Asker(self._llm, base.outline.front), asyncio.Semaphore(self.limits.rows)
        except BaseException as error:  # noqa: BLE001 - raised where the engine is made
            started.set_exception(error)
            return
        started.set_result(None)
        try:
            await self._end.wait()
            tasks = [task for task in self._rows.values() if task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            self._llm.shutdown()
            for row in list(self._rows):
                self._leave(row, self._stopped())

    def _take(self, row: Row) -> None:
        task = self._loop.create_task(self._answer(row))
        self._rows[row] = task
        task.add_done_callback(lambda done: self._leave(row, self._stopped() if done.cancelled() else done.result()))

    def _withdraw(self, row: Row) -> None:
        if task := self._rows.get(row):
            task.cancel()

    def _stopped(self) -> Exception:
        if self._stopping:
            return EngineStopped("the engine stopped before this request was answered")
        return RequestCancelled("the request was cancelled")

    def _leave(self, row: Row, outcome: Result | Exception) -> None:
        """Forget a request, then tell its outcome, so that its place is free when the caller asks again."""
        with self._changed:
            self._rows.pop(row, None)
            self._changed.notify_all()
        row.handle.emit(outcome)

    async def _answer(self, row: Row) -> Result | Exception:
        try:
            async with self._turns:
                self._running += 1
                try:
                    await self._answer_now(row)
                finally:
                    self._running -= 1
        except (AdapterRefused, RequestCancelled) as reason:
            return reason
        except Exception:
            logger.exception("vLLM failed on a request")
            return ModelFailed("the model failed while it answered; the log of the engine says why")
        return row.result({})

    async def _answer_now(self, row: Row) -> None:
        source = row.request.adapter
        adapter = await self._shelf.acquire(source) if source else None
        row.timings.queue = row.waited()
        try:
            await self._asker.answer(row, adapter)
        finally:
            if adapter is not None:
                self._shelf.release(adapter)
