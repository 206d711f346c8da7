"""The first signal lets what runs end while the door is open, the second one waits for nothing."""

from __future__ import annotations

import signal
import threading

import pytest
import uvicorn
from fastapi import FastAPI

from serve.running import _Server
from tests.serve.served import wait_until


def test_the_door_closes_after_the_drain_or_with_a_second_signal() -> None:
    begun, done = threading.Event(), threading.Event()

    def drain() -> None:
        begun.set()
        assert done.wait(60)

    server = _Server(uvicorn.Config(FastAPI()), drain)
    server.handle_exit(signal.SIGTERM, None)
    assert begun.wait(60)
    assert (server.should_exit, server.force_exit) == (False, False)
    server.handle_exit(signal.SIGTERM, None)
    assert (server.should_exit, server.force_exit) == (True, True)
    done.set()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_drain_that_fails_ends_the_server_all_the_same() -> None:
    def failing() -> None:
        raise RuntimeError("the engine is gone")

    server = _Server(uvicorn.Config(FastAPI()), failing)
    server.handle_exit(signal.SIGINT, None)
    wait_until(lambda: server.should_exit)
    assert not server.force_exit
