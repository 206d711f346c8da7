"""Waiting for a run's turn, keeping its lease alive, hearing that it must give way, giving it back."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coat_ray.client import Client, PlatformError
from coat_ray.config import RunConfig

logger = logging.getLogger(__name__)

LEASE_FILE = "COAT_LEASE_FILE"
"""Names a file with run and token in the environment of a job that the platform started: its lease is granted."""

ASK_EVERY_S = 2.0
HEARTBEAT_EVERY_S = 10.0
SILENT_S = 600.0
"""A platform that does not answer a waiting job for so long is given up; the run keeps its place meanwhile."""

RELEASE_S = 120.0
"""How long an ended run tries to say so."""

CONFLICT = 409
PASSING = (None, 429, 502, 503)
"""Nobody there, or too many requests of the tenant: ask again."""


class GaveWay(Exception):
    """The run was asked to make room, has kept what it did, and waits again."""


@dataclass(frozen=True)
class TrialLease:
    """What a sweep holds for one of its trials beside the first. ``give_way``: it is asked to give it back."""

    run: str
    token: str = field(repr=False)
    give_way: bool


@dataclass
class Held:
    """A lease while it is held. ``give_way`` is set when the run is asked to stop; ``result`` goes with its end.

    A sweep says in ``wanted`` how many trials it could run now beside its first; ``trials`` are those that it may, as
    the last heartbeat found them. One that it ends goes back with :func:`give_back`.
    """

    run: str | None = None
    give_way: threading.Event = field(default_factory=threading.Event)
    result: dict[str, Any] = field(default_factory=dict)
    wanted: int | None = None
    trials: tuple[TrialLease, ...] = ()


@contextmanager
def lease(
    config: RunConfig, show: Callable[[str], None] = print, run: str | None = None, *, sweep: bool = False
) -> Iterator[Held]:
    """Hold a lease for what the configuration needs, from the platform that the environment names.

    A *sweep* holds it for its first trial, and asks for more of the same with its heartbeats. Without a platform there
    are no limits, and nothing is asked. A block that raises :class:`GaveWay` gives the lease back and leaves the run in
    the queue, where it is found again by its id (*run*); any other error ends it as failed.

    Raises:
        PlatformError: refused, or the platform does not answer.
    """
    client = Client.from_environment(with_key=not started_by_platform())
    if client is None:
        yield Held()
        return
    run, token = _granted(client, config, show, run, sweep)
    held = Held(run, wanted=0 if sweep else None)
    ended = threading.Event()
    heart = threading.Thread(target=_beat, args=(client, held, token, ended), daemon=True, name="lease")
    heart.start()
    outcome, reason = "failed", ""
    try:
        yield held
        outcome = "done"
    except GaveWay:
        outcome = "queued"
        raise
    except KeyboardInterrupt as interrupted:
        if held.give_way.is_set():  # on its way out of a block that is interrupted to give way
            outcome = "queued"
            raise GaveWay("gave way") from interrupted
        outcome, reason = "stopped", "interrupted"
        raise
    except BaseException as error:
        reason = str(error)
        raise
    finally:
        ended.set()
        heart.join()
        _release(client, held, token, outcome, reason)


def started_by_platform() -> bool:
    """Whether this job's lease was granted before it began."""
    return LEASE_FILE in os.environ


@contextmanager
def giving_way(asked: threading.Event) -> Iterator[None]:
    """Interrupt the block, which must keep what it did at any moment, once the run is asked to give way.

    Raises:
        GaveWay: it was asked.
    """
    if asked.is_set():
        raise GaveWay("gave way")
    ended, one_at_a_time = threading.Event(), threading.Lock()

    def watch() -> None:
        while not ended.is_set():
            if asked.wait(ASK_EVERY_S):
                with one_at_a_time:  # so that no interrupt comes after the block
                    if not ended.is_set():
                        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
                return

    thread = threading.Thread(target=watch, daemon=True, name="give way")
    try:
        thread.start()
        yield
        with one_at_a_time:
            ended.set()
    except KeyboardInterrupt as interrupted:
        if asked.is_set():
            raise GaveWay("gave way") from interrupted
        raise
    finally:
        with one_at_a_time:
            ended.set()
    if asked.is_set():
        raise GaveWay("gave way")


def give_back(trial: TrialLease) -> None:
    """End what a sweep holds for a trial; one that was asked for goes on waiting for its next turn.

    Raises:
        PlatformError: the platform does not answer, or the lease is gone already.
    """
    client = Client.from_environment(with_key=False)
    assert client is not None
    body = {"token": trial.token, "outcome": "queued" if trial.give_way else "done", "reason": "", "result": None}
    client.post(f"/leases/{trial.run}/release", body)


def _granted(
    client: Client, config: RunConfig, show: Callable[[str], None], run: str | None, sweep: bool
) -> tuple[str, str]:
    """The run's id and its token, once it is its turn; a new run where none waits already."""
    if started_by_platform():
        granted = json.loads(Path(os.environ[LEASE_FILE]).read_text())
        return granted["run"], granted["token"]
    if run is None:
        job = os.environ.get("RAY_JOB_SUBMISSION_ID")
        body = {"config": config.model_dump(mode="json"), "ray_job_id": job, "sweep": sweep}
        run = str(client.post("/leases", body, idempotency_key=job)["id"])
    said, answered = "", time.monotonic()
    while True:
        try:
            answer = client.get(f"/leases/{run}")
        except PlatformError as error:
            if error.status not in PASSING or time.monotonic() - answered > SILENT_S:
                raise
            time.sleep(error.retry_after_s or ASK_EVERY_S)
            continue
        answered = time.monotonic()
        if answer["token"]:
            return run, str(answer["token"])
        if answer["run"]["state"] in ("stopped", "failed", "done"):
            raise PlatformError(f"run {run} is {answer['run']['state']} already: {answer['run']['reason']}")
        if answer["run"]["reason"] != said:
            said = answer["run"]["reason"]
            show(f"run {run} waits: {said}")
        time.sleep(ASK_EVERY_S)


def _beat(client: Client, held: Held, token: str, ended: threading.Event) -> None:
    """Say that the run lives. A lease that was taken back must be treated like one that is asked for."""
    while True:
        try:
            answer = client.post(f"/leases/{held.run}/heartbeat", {"token": token, "trials": held.wanted})
            held.trials = tuple(TrialLease(**trial) for trial in answer["trials"])
            if answer["give_way"]:
                held.give_way.set()
        except PlatformError as error:
            logger.warning("heartbeat of run %s: %s", held.run, error)
            if error.status == CONFLICT:
                held.give_way.set()
                return
        if ended.wait(HEARTBEAT_EVERY_S):
            return


def _release(client: Client, held: Held, token: str, outcome: str, reason: str) -> None:
    """Give the lease back, also to a platform that is away for a while: a finished run must not end as a dead one."""
    body = {"token": token, "outcome": outcome, "reason": reason[:2000], "result": held.result}
    deadline = time.monotonic() + RELEASE_S
    while True:
        try:
            client.post(f"/leases/{held.run}/release", body)
        except PlatformError as error:
            if error.status in PASSING and time.monotonic() < deadline:
                time.sleep(error.retry_after_s or ASK_EVERY_S)
                continue
            logger.warning("the lease of run %s could not be given back: %s", held.run, error)
        return
