"""The OpenAI API as a plain FastAPI application; whatever runs it brings the engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI
from fastapi.responses import JSONResponse

from coat_ray import __version__
from serve.doorkeeper import Doorkeeper
from serve.openai import chat, errors, models, transcriptions
from serve.openai.serving import Serving
from serve.rounds import counting

PREFIX = "/v1"


async def _at_once() -> None:
    """Nothing to wait for."""


def build_app(serving: Serving, ready: Callable[[], Awaitable[None]] = _at_once) -> FastAPI:
    """The application in front of one engine; it takes requests once *ready* has been awaited on its event loop."""

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        await ready()
        async with counting(serving.platform)(app):
            yield

    app = FastAPI(
        title="coat_ray models",
        version=__version__,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        lifespan=life,
    )
    app.state.platform = serving.platform
    app.state.serving = serving
    app.add_middleware(Doorkeeper, most=serving.limits.body_bytes)
    errors.install(app)
    api = APIRouter(prefix=PREFIX)
    for part in (models, chat, transcriptions):
        api.include_router(part.router)
    app.include_router(api)

    def healthy() -> JSONResponse:
        """Whether requests are taken."""
        alive = serving.engine.alive
        return JSONResponse({"status": "ok" if alive else "stopping"}, 200 if alive else 503)

    app.add_api_route("/healthz", healthy, response_model=None, tags=["health"])
    return app
