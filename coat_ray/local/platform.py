"""The whole platform on this machine: a Ray of its own with the API on it, kept by one process in the background.

``coat up`` starts that process and ``coat down`` ends it. What is kept lies in ``$COAT_HOME``: the database, what the
tenants made, and under ``platform/`` Ray's token, logs and the keeper's own files. Started again, the platform goes on
from there: runs whose jobs ended with it wait in the queue and continue from their checkpoints.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from coat_ray.local.cluster import LocalCluster
from coat_ray.storage import home

STOP_S = 90
READY = "ready.json"
"""Written by the keeper once its API answers, and removed when it ends."""


class PlatformStateError(RuntimeError):
    """The platform of this folder cannot be started or ended; the message says why."""


def state_folder() -> Path:
    """Where the keeper's files lie."""
    return home() / "platform"


def keeping() -> int | None:
    """The process that keeps the platform of this folder, None where none does."""
    with suppress(FileNotFoundError), (state_folder() / "lock").open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return int(file.read())
    return None


def address() -> str | None:
    """Where the API of the running platform is, None while it is not ready."""
    with suppress(OSError, ValueError):
        return str(json.loads((state_folder() / READY).read_text())["url"])
    return None


def start(root: Path, port: int, cpus: int | None, config: Path, show: Callable[[str], None]) -> str:
    """Start the platform from the repository at *root* and wait until its API answers; gives its address.

    *config* is what Ray Serve runs, as ``serve/config.yaml``.

    Raises:
        PlatformStateError: it does not start; the message quotes its log.
    """
    state = state_folder()
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    (state / READY).unlink(missing_ok=True)
    command = [sys.executable, "-m", "coat_ray.local.keeper", "--port", str(port), "--config", str(config)]
    command += ["--cpus", str(cpus)] if cpus else []
    log = state / "platform.log"
    with log.open("wb") as file:
        process = subprocess.Popen(  # noqa: S603 - fixed command
            command,
            cwd=root,
            env={**os.environ, "COAT_HOME": str(home())},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _show_until(lambda: address() is not None or process.poll() is not None, log, show)
    except BaseException:
        process.terminate()
        process.wait(STOP_S)
        raise
    url = address()
    if url is None:
        raise PlatformStateError(f"the platform did not start; what it said is above and in {log}")
    return url


def _show_until(ended: Callable[[], bool], log: Path, show: Callable[[str], None]) -> None:
    """Show a log as it grows."""
    said = 0
    while True:
        last = ended()
        lines = log.read_text(errors="replace").splitlines()
        for line in lines[said:]:
            show(line)
        said = len(lines)
        if last:
            return
        time.sleep(0.2)


def stop(show: Callable[[str], None]) -> bool:
    """End the platform of this folder with all its processes; False where there was nothing to end.

    Raises:
        PlatformStateError: it has not ended in time.
    """
    pid = keeping()
    if pid is None:
        return _clear()
    show(f"ending the platform (process {pid}) and its jobs; their runs go on at the next start")
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_S
    while keeping() is not None:
        if time.monotonic() > deadline:
            raise PlatformStateError(f"process {pid} has not ended within {STOP_S} s; see {state_folder()}")
        time.sleep(0.1)
    return True


def _clear() -> bool:
    """End what a keeper that was killed left behind."""
    if not (state_folder() / "head.json").exists():
        return False
    LocalCluster(state_folder()).clear_leftovers()
    return True
