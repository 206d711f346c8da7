"""The replicas of the engine, asked as one engine in this process would be."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future
from contextlib import aclosing
from typing import Any, cast

from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, ReplicaUnavailableError
from ray.serve.handle import DeploymentHandle, DeploymentResponseGenerator

from coat_ray.inference.errors import EngineStopped, ModelFailed, QueueFull, RequestCancelled
from coat_ray.inference.handle import Event
from coat_ray.inference.requests import Delta, Request, Result
from serve.hosting.metrics import AnswerMetrics
from serve.hosting.replica import Front
from serve.hosting.retelling import OtherAnswer, Retelling, repeatable

logger = logging.getLogger(__name__)

ATTEMPTS = 4
PAUSE_S = 0.25
"""Before another attempt, times the attempts so far: Serve needs a moment to see that a replica is gone."""


class RemoteHandle:
    """One request on its way."""

    def __init__(self, following: Future[None]) -> None:
        self._following = following

    def cancel(self) -> None:
        """Stop working on it; of no effect on one that has ended."""
        self._following.cancel()


class RemoteEngine:
    """All replicas of one deployment. A request whose replica dies is begun again on another one.

    What replicas say is followed on the event loop of the application, on which ``start`` is awaited before anything
    else: a loop of its own would hand each event from thread to thread.

    Args:
        replicas: the deployment of ``EngineReplica``.
        metrics: told how each request ended.
    """

    front: Front
    """What the base hears."""

    def __init__(self, replicas: DeploymentHandle, metrics: AnswerMetrics) -> None:
        self._replicas, self._metrics = replicas, metrics

    async def start(self) -> None:
        """Wait until the first replica has loaded its base."""
        self._loop = asyncio.get_running_loop()
        logger.info("waiting for the first replica of the engine")
        self.front = await self._replicas.front.remote()

    @property
    def alive(self) -> bool:
        """Whether requests are taken: how the replicas are is Serve's business."""
        return True

    def submit(self, request: Request, on_event: Callable[[Event], None]) -> RemoteHandle:
        """Ask a replica. All that goes wrong comes as an event."""
        following = self._follow(repeatable(request), Retelling(on_event))
        return RemoteHandle(asyncio.run_coroutine_threadsafe(following, self._loop))

    async def _follow(self, request: Request, retelling: Retelling) -> None:
        """Tell what comes, through as many replicas as it takes; the last event is told and measured."""
        last: Result | Exception = EngineStopped("no replica of the engine could answer")
        for attempt in range(ATTEMPTS):
            if attempt:
                self._metrics.begun_again(request)
                await asyncio.sleep(PAUSE_S * attempt)
                retelling.begin()
            try:
                last = await self._attempt(request, retelling)
                if isinstance(last, Result):
                    retelling.check(last)
            except asyncio.CancelledError:
                self._metrics.ended(request, RequestCancelled("nobody waits for it"))
                raise
            except OtherAnswer as broken:
                last = ModelFailed(str(broken))
            except Exception:
                logger.exception("a request to a replica failed")
                last = ModelFailed("the replica failed on this request")
            if not isinstance(last, EngineStopped):
                break
        self._metrics.ended(request, last)
        retelling.end(last)

    async def _attempt(self, request: Request, retelling: Retelling) -> Result | Exception:
        """What one replica says in the end; ``EngineStopped`` where another one may still answer."""
        try:
            async with aclosing(self._events(request)) as events:
                async for event in events:
                    if not isinstance(event, Delta):
                        return event
                    retelling.tell(event)
        except BackPressureError:
            return QueueFull("as many requests wait already as may; ask again in a moment")
        except RayTaskError:
            logger.exception("a replica failed on a request")
            return ModelFailed("the replica failed on this request")
        except (RayError, DeploymentUnavailableError, ReplicaUnavailableError) as gone:
            logger.warning("a replica died under a request: %s", type(gone).__name__)
        return EngineStopped("the replica ended before the answer did")

    async def _events(self, request: Request) -> AsyncGenerator[Event, None]:
        options: dict[str, Any] = {"stream": True}
        if request.adapter is not None:
            options["multiplexed_model_id"] = request.adapter.key
        answer = cast("DeploymentResponseGenerator", self._replicas.options(**options).answer.remote(request))
        try:
            async for events in answer:
                for event in events:
                    yield event
        finally:
            answer.cancel()  # of no effect on one that has ended
