"""Child processes that never outlive their purpose. Linux only, standard library only."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

_PR_SET_PDEATHSIG = 1


def spawn(command: Sequence[str], environment: Mapping[str, str], output: IO[bytes] | None = None) -> subprocess.Popen:
    """Start *command* in a session of its own, so that Ctrl-C reaches only us, and let it end when we do.

    The kernel sends it SIGTERM when the calling thread dies, even by ``kill -9``.
    """
    libc = ctypes.CDLL(None)

    def die_with_parent() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

    return subprocess.Popen(  # noqa: S603 - callers give fixed commands
        list(command),
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output else None,
        start_new_session=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509 - nothing that locks runs between fork and exec
    )


def end(process: subprocess.Popen, seconds: float) -> None:
    """Ask a child to end, and kill it when it has not after *seconds*."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def end_marked(name: str, value: str, seconds: float = 10) -> None:
    """Kill every process that carries ``name=value`` in its environment, and whatever shares a session with one.

    The session catches processes that overwrote their environment with a title. Give a value that only processes
    made by :func:`spawn` carry: their sessions hold nothing else.
    """
    deadline = time.monotonic() + seconds
    while (found := _marked(f"{name}={value}".encode())) and time.monotonic() < deadline:
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)


def _marked(entry: bytes) -> list[int]:
    sessions: dict[int, int] = {}
    ours: set[int] = set()
    for folder in Path("/proc").glob("[0-9]*"):
        pid = int(folder.name)
        with suppress(OSError):
            if (folder / "stat").read_text().rpartition(") ")[2].startswith("Z"):
                continue
            sessions[pid] = os.getsid(pid)
            if entry in (folder / "environ").read_bytes().split(b"\0"):
                ours.add(sessions[pid])
    ours.discard(os.getsid(0))
    return [pid for pid, session in sessions.items() if session in ours]
