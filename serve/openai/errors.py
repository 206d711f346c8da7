"""What goes wrong while somebody asks a model, as statuses and objects that clients of the OpenAI API know."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from coat_ray.inference.errors import AdapterRefused, AdapterTooLarge, EngineStopped, QueueFull, RequestRefused
from serve import errors as platform_errors

logger = logging.getLogger(__name__)

_FAILED = "the model failed on this request; the platform's owner finds why in the log"


class _Told(NamedTuple):
    """What is told of an exception; without a message its own."""

    status: int
    code: str
    message: str = ""
    retry_after: int | None = None


_TOLD: dict[type[Exception], _Told] = {
    RequestRefused: _Told(400, "invalid_value"),
    QueueFull: _Told(503, "engine_busy", retry_after=1),
    EngineStopped: _Told(503, "stopping", "this server is going down; ask again in a moment", 5),
    AdapterTooLarge: _Told(503, "no_room", "there is no room for this model now; ask again later", 30),
    AdapterRefused: _Told(
        422,
        "model_unusable",
        "this model cannot be used: its files are missing, damaged or made for another base; train it again",
    ),
}


class ApiError(Exception):
    """An answer that is an error.

    Args:
        status: of HTTP.
        message: a sentence for whoever asked.
        code: the same in one word.
        param: which part of the request it is about.
        retry_after: seconds after which asking again may help; None: it will not.
    """

    def __init__(
        self, status: int, message: str, code: str, *, param: str | None = None, retry_after: int | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code
        self.param, self.retry_after = param, retry_after

    def answer(self) -> JSONResponse:
        """With ``Retry-After``, or ``x-should-retry: false``, which the official clients heed."""
        wait = self.retry_after
        headers = {"x-should-retry": "false"} if wait is None else {"Retry-After": str(wait)}
        return platform_errors.error(self.status, self.message, self.code, headers, param=self.param)

    def body(self) -> dict[str, Any]:
        """As an event within a stream."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


class ClientGone(Exception):
    """Nobody waits for the answer any more."""


def explained(problem: Exception) -> ApiError:
    """What an exception of the engine means for whoever asked; of any other one nothing is told."""
    if isinstance(problem, ApiError):
        return problem
    for kind, told in _TOLD.items():
        if isinstance(problem, kind):
            logger.info("refused: %s", problem)
            return ApiError(told.status, told.message or str(problem), told.code, retry_after=told.retry_after)
    logger.error("a request failed", exc_info=problem)
    return ApiError(500, _FAILED, "internal_error")


def install(app: FastAPI) -> None:
    """Errors of the platform as the platform's API answers them, and those of the engine."""
    platform_errors.install(app)
    told: list[type[Exception]] = [ApiError, *_TOLD]
    for kind in told:
        app.add_exception_handler(kind, _answered)
    for gone in (ClientGone, ClientDisconnect):
        app.add_exception_handler(gone, _gone)


async def _answered(_: Request, problem: Exception) -> JSONResponse:
    return explained(problem).answer()


async def _gone(_: Request, problem: Exception) -> JSONResponse:  # noqa: ARG001 - nobody reads it
    return platform_errors.error(499, "the client hung up", "client_gone")
