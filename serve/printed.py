"""What a run's jobs print: all that is there, or line by line until the run has ended."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import anyio
from fastapi import HTTPException
from starlette.concurrency import run_in_threadpool

from coat_ray.tenancy.keys import is_in_force
from coat_ray.tenancy.roles import Principal
from coat_ray.tenancy.runs import ENDED, Run, RunNotFound, get_run
from serve.access import Platform

FOLLOW_EVERY_S = (0.5, 1.0, 2.0, 4.0)
"""Pauses between two looks; they grow while nothing new is printed, because Ray gives a log only as a whole."""

FOLLOW_FOR_S = 30 * 60.0
"""After so long, whoever follows a log asks again."""


def check_started_here(run: Run) -> None:
    """Pass runs whose jobs the platform starts; of others only those who started them have the log.

    Raises:
        HTTPException: 404, another one.
    """
    if not run.again:
        raise HTTPException(404, f"the platform did not start run {run.id}: its log is with whoever did")


def printed(platform: Platform, run: Run) -> str:
    """What the job of the run's last attempt printed so far; nothing where it has none.

    Raises:
        HTTPException: Ray does not answer (503), or has forgotten the job or never got it from the platform (404).
    """
    check_started_here(run)
    job = _own_job(run)
    if platform.cluster is None or job is None:
        return ""
    try:
        return platform.cluster.get_job_logs(job)
    except RuntimeError as error:
        if "does not exist" in str(error):
            raise HTTPException(404, f"Ray no longer has the log of run {run.id}") from error
        raise HTTPException(503, f"Ray does not give the log of run {run.id} now; try again") from error
    except OSError as error:
        raise HTTPException(503, "Ray does not answer; try again") from error


def _own_job(run: Run) -> str | None:
    """The Ray job of the run's last attempt that has one; never any that a caller named."""
    return run.ray_job_id if run.ray_job_id in {f"{run.id}-{n}" for n in range(1, run.attempts + 1)} else None


def last_lines(text: str, tail: int) -> str:
    """The last lines of a text."""
    return "\n".join(text.splitlines()[-tail:])


@dataclass
class Follower:
    """Where somebody is in the log of a run: how much of which job's log was sent."""

    platform: Platform
    actor: Principal
    run_id: str
    tail: int
    job: str | None = None
    sent: int = 0

    async def lines(self) -> AsyncIterator[str]:
        """Whole lines as they come, until the run or the time for it has ended; no thread is held between two looks."""
        until = time.monotonic() + FOLLOW_FOR_S
        pauses = iter(FOLLOW_EVERY_S)
        pause = FOLLOW_EVERY_S[-1]
        while True:
            new, ended = await run_in_threadpool(self._look)
            if new:
                yield new
                pauses = iter(FOLLOW_EVERY_S)
            if ended:
                return
            if time.monotonic() >= until:
                yield f"[a log is followed for {FOLLOW_FOR_S / 60:g} minutes at once; ask again for what comes next]\n"
                return
            pause = next(pauses, pause)
            await anyio.sleep(pause)

    def _look(self) -> tuple[str, bool]:
        """What is new, in whole lines, and whether it was the last. Another attempt's log begins at its beginning.

        The key and its rights are asked for each time: they may end while somebody follows.
        """
        with self.platform.database.read() as session:
            if not is_in_force(session, self.actor):
                return "[this API key is no longer accepted]\n", True
            try:
                run = get_run(session, self.run_id, actor=self.actor, shared=True)
            except RunNotFound as gone:
                return f"[{gone}]\n", True
        ended = run.state in ENDED  # looked at before the log, so that the last lines are in it
        try:
            text = printed(self.platform, run)
        except HTTPException:
            return "", ended
        if self.job is None and text:
            self.sent = len(text) - len(_tail(text, self.tail))
        elif run.ray_job_id != self.job or len(text) < self.sent:
            self.sent = 0
        if text:
            self.job = run.ray_job_id
        new = text[self.sent :]
        if not ended:
            new = new[: new.rfind("\n") + 1]
        self.sent += len(new)
        return new, ended


def _tail(text: str, lines: int) -> str:
    return "".join(text.splitlines(keepends=True)[-lines:])
