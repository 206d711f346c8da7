"""An application in one process, until somebody stops it: what was asked already is answered first."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI

FLUSH_S = 10
"""After the last answer is known, a client has so long to read it."""


def run(app: FastAPI, host: str, port: int, drain: Callable[[], object] = lambda: None) -> None:
    """Answer until SIGTERM or Ctrl-C, then *drain* with the door still open, then come back; a second signal hurries.

    Args:
        app: what answers.
        host: where to listen.
        port: and on which port.
        drain: lets what runs end and has new requests refused; called on a thread of its own.
    """
    config = uvicorn.Config(app, host=host, port=port, log_level="warning", timeout_graceful_shutdown=FLUSH_S)
    _Server(config, drain).run()


class _Server(uvicorn.Server):
    """Uvicorn itself shuts the door first and ends by the signal, past whatever its caller does at the end."""

    def __init__(self, config: uvicorn.Config, drain: Callable[[], object]) -> None:
        super().__init__(config)
        self._drain, self._told = drain, False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        """The first signal drains, the second one waits for nothing."""
        if self._told:
            self.should_exit = self.force_exit = True
            return
        self._told = True
        threading.Thread(target=self._end, name="drain", daemon=True).start()

    def _end(self) -> None:
        try:
            self._drain()
        finally:
            self.should_exit = True
