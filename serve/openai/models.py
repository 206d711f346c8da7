"""``GET /v1/models``: what the key may ask."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from serve.access import Asking
from serve.openai.names import model_for, models_for
from serve.openai.serving import serving_of

router = APIRouter(prefix="/models", tags=["models"])


@router.get("")
def listed(request: Request, asking: Asking) -> dict[str, Any]:
    """The base, and every version and alias of the tenant's models and of those shared with it."""
    serving = serving_of(request)
    found = models_for(serving, asking).values()
    return {"object": "list", "data": [model.shown(serving.config) for model in found]}


@router.get("/{name:path}")
def shown(name: str, request: Request, asking: Asking) -> dict[str, Any]:
    """One of them."""
    serving = serving_of(request)
    return model_for(serving, asking, name).shown(serving.config)
