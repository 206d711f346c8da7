"""The platform's HTTP API at ``/api/v1``, as a plain FastAPI application; ``serve/app.py`` puts it on Ray Serve.

It alone holds the cluster's token, and starts fixed entry points only: a caller gives a configuration, never code.
"""

from __future__ import annotations

from fastapi import APIRouter, FastAPI

from coat_ray import __version__
from serve import errors
from serve.access import Platform
from serve.doorkeeper import Doorkeeper
from serve.rounds import counting
from serve.routes import configs, corpora, leases, me, metrics, models, records, runs, shares, sweeps, tenants

PREFIX = "/api/v1"


def build_app(platform: Platform) -> FastAPI:
    """The application on a platform's database and storage."""
    app = FastAPI(
        title="coat_ray platform",
        version=__version__,
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,  # the page would load scripts from elsewhere
        redoc_url=None,
        lifespan=counting(platform),
    )
    app.state.platform = platform
    app.add_middleware(Doorkeeper)
    errors.install(app)
    api = APIRouter(prefix=PREFIX)
    for part in (runs, sweeps, configs, leases, corpora, models, shares, tenants, me, records):
        api.include_router(part.router)
    app.include_router(api)
    app.include_router(metrics.router)
    app.add_api_route("/healthz", _healthy, tags=["health"])
    return app


def _healthy() -> dict[str, str]:
    """That the process answers."""
    return {"status": "ok"}
