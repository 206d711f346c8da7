"""The page on Ray Serve: ``page`` in ``serve/config.yaml``."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field
from ray import serve as ray_serve
from ray.serve import Application

from serve.prefixes import WholePaths

MAX_REQUESTS = 512
"""Each visitor keeps a few connections open."""


class PageOptions(BaseModel):
    """What ``args`` of the application may say."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field("http://127.0.0.1:8000", description="where the page reaches the APIs, as any client does")


def page(arguments: dict[str, Any]) -> Application:
    """The application that ``serve/config.yaml`` names, with the ``args`` that stand there.

    Raises:
        ValidationError: anything but :class:`PageOptions`.
    """
    options = PageOptions.model_validate(arguments)

    def build() -> WholePaths:
        from ui.app import mount  # noqa: PLC0415 - brings Gradio, which only the replica needs

        return WholePaths(mount(FastAPI(openapi_url=None), options.url))

    deployment = ray_serve.deployment(
        name="page",
        num_replicas=1,  # it remembers who is signed in
        max_ongoing_requests=MAX_REQUESTS,
        ray_actor_options={"num_cpus": 0},
    )
    return deployment(ray_serve.ingress(build)(_Replica)).bind()


class _Replica:
    """What Serve wraps around the application."""
