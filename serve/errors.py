"""Errors as HTTP answers, in the shape that clients of the OpenAI API know."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from coat_ray.config import ConfigError
from coat_ray.corpus.manifest import ManifestError
from coat_ray.registry.models import ModelNotFound, ModelRefused
from coat_ray.tenancy.corpora import CorpusExists, CorpusInUse, CorpusNotFound
from coat_ray.tenancy.errors import (
    AuthenticationFailed,
    BadRequest,
    Denied,
    Forbidden,
    IdempotencyConflict,
    KeyNotFound,
    TenantExists,
    TenantNotFound,
)
from coat_ray.tenancy.leases import LeaseLost
from coat_ray.tenancy.runs import RunNotFound
from coat_ray.tenancy.sharing import ShareNotFound, SharingRefused, StillShared
from coat_ray.tenancy.times import utc_now
from serve.archives import ArchiveError
from serve.corpus_store import UploadBusy
from serve.streams import TooManyStreams
from serve.uploads import UnknownArchive, UploadTooLarge

logger = logging.getLogger(__name__)

NOT_FOUND = (CorpusNotFound, ModelNotFound, RunNotFound, ShareNotFound, TenantNotFound, KeyNotFound)

CONFLICTS = (CorpusExists, CorpusInUse, IdempotencyConflict, LeaseLost, StillShared, TenantExists, UploadBusy)

INVALID = (ArchiveError, BadRequest, ConfigError, ManifestError, ModelRefused)
"""What is wrong by whoever asked. Any other ValueError is the platform's, and its text may name what is not theirs."""


PERMANENT = (400, 401, 403, 404, 405, 413, 415, 422)


def error(status: int, message: str, code: str, headers: dict[str, str] | None = None, **more: Any) -> JSONResponse:
    """An error's answer; of one that waiting does not mend, official clients are told not to ask again."""
    if status in PERMANENT:
        headers = {"x-should-retry": "false", **(headers or {})}
    kind = "server_error" if status >= 500 else "invalid_request_error"
    body = {"error": {"message": message, "type": kind, "param": None, "code": code, **more}}
    return JSONResponse(body, status, headers)


def install(app: FastAPI) -> None:
    """Answer every error of the platform as itself, and every other one without its text."""
    app.add_exception_handler(AuthenticationFailed, _unauthenticated)
    app.add_exception_handler(Forbidden, _forbidden)
    app.add_exception_handler(Denied, _denied)
    app.add_exception_handler(SharingRefused, _terms)
    for conflict in CONFLICTS:
        app.add_exception_handler(conflict, _conflict)
    app.add_exception_handler(TooManyStreams, _too_many)
    app.add_exception_handler(UploadTooLarge, _too_large)
    app.add_exception_handler(UnknownArchive, _unknown_kind)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _http)
    for invalid in INVALID:
        app.add_exception_handler(invalid, _invalid)
    for missing in NOT_FOUND:
        app.add_exception_handler(missing, _missing)
    app.add_exception_handler(Exception, _unexpected)


async def _unauthenticated(_: Request, problem: Exception) -> JSONResponse:
    return error(401, str(problem), "invalid_api_key", {"WWW-Authenticate": "Bearer"})


async def _forbidden(_: Request, problem: Exception) -> JSONResponse:
    return error(403, str(problem), "forbidden")


async def _denied(_: Request, problem: Exception) -> JSONResponse:
    assert isinstance(problem, Denied)
    wait = problem.denial.retry_after_s(utc_now())
    headers = {"Retry-After": str(wait)} if wait is not None else {"x-should-retry": "false"}
    return error(429, str(problem), "quota_exceeded", headers, limit=problem.denial.fields())


async def _too_many(_: Request, problem: Exception) -> JSONResponse:
    return error(429, str(problem), "too_many_streams", {"x-should-retry": "false"})


async def _terms(_: Request, problem: Exception) -> JSONResponse:
    return error(409, str(problem), "licence")


async def _missing(_: Request, problem: Exception) -> JSONResponse:
    return error(404, str(problem), "not_found")


async def _conflict(_: Request, problem: Exception) -> JSONResponse:
    return error(409, str(problem), "conflict")


async def _too_large(_: Request, problem: Exception) -> JSONResponse:
    return error(413, str(problem), "too_large")


async def _unknown_kind(_: Request, problem: Exception) -> JSONResponse:
    return error(415, str(problem), "unsupported_media_type")


async def _invalid(_: Request, problem: Exception) -> JSONResponse:
    return error(422, str(problem), "invalid_value")


async def _malformed(_: Request, problem: Exception) -> JSONResponse:
    assert isinstance(problem, RequestValidationError)
    found = [f"{'.'.join(map(str, part['loc']))}: {part['msg']}" for part in problem.errors()]
    return error(422, "; ".join(found), "invalid_request")


async def _http(_: Request, problem: Exception) -> JSONResponse:
    assert isinstance(problem, HTTPException)
    return error(problem.status_code, str(problem.detail), "http_error", dict(problem.headers or {}))


async def _unexpected(request: Request, problem: Exception) -> JSONResponse:
    logger.error("%s %s failed", request.method, request.url.path, exc_info=problem)
    return error(500, "the platform failed on this request; its owner finds why in the log", "internal_error")
