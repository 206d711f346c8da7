"""What models are called here: ``base``, ``base:tenant/name@version`` and ``base:tenant/name@alias``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from coat_ray.config import BackboneConfig
from coat_ray.inference.requests import AdapterSource
from coat_ray.registry.models import BASE, ModelRecord, ModelRegistry
from coat_ray.training.lineage import BASES
from serve.access import Caller
from serve.openai.errors import ApiError
from serve.openai.serving import Serving
from serve.visible import visible_models

_UNKNOWN_LICENCE = ("not stated", False)


@dataclass(frozen=True)
class Model:
    """A name and what it stands for; without a record the bare base."""

    id: str
    owner: str = "coat_ray"
    record: ModelRecord | None = None

    def shown(self, config: BackboneConfig) -> dict[str, Any]:
        """As OpenAI shows a model, with its terms."""
        record = self.record
        licence, commercial = BASES.get(config.weights, _UNKNOWN_LICENCE)
        if record is not None:
            licence, commercial = record.licence, record.commercial_use
        return {
            "id": self.id,
            "object": "model",
            "created": int(datetime.fromisoformat(record.created).timestamp()) if record else 0,
            "owned_by": self.owner,
            "licence": licence,
            "commercial_use": commercial,
        }


def models_for(serving: Serving, asking: Caller) -> dict[str, Model]:
    """Every name that a caller may use, the base first, then the newest; only models of the engine's own base."""
    with serving.platform.database.read() as session:
        records = visible_models(session, asking)
    named = (model for record in records if _fits(record, serving) for model in _named(record, asking))
    return {model.id: model for model in (Model(BASE), *named)}


def model_for(serving: Serving, asking: Caller, name: str) -> Model:
    """The model that *name* means to a caller. The work is the same, whether another tenant has it or nobody.

    Raises:
        ApiError: 404: none that the caller may use.
    """
    found = Model(BASE) if name == BASE else models_for(serving, asking).get(name)
    if found is None:
        message = f"the model {name!r} does not exist, or this key may not use it; GET /v1/models lists what it may"
        raise ApiError(404, message, "model_not_found", param="model")
    return found


def source_of(serving: Serving, model: Model) -> AdapterSource | None:
    """Where its adapter lies; None for the base.

    Raises:
        ApiError: 422: behind a link.
    """
    if model.record is None:
        return None
    home = serving.platform.storage.tenant(model.owner)
    folder = ModelRegistry(home).adapter_folder(model.record.model_copy(update={"owner": None}))
    if not home.holds(folder):
        raise ApiError(422, "this model cannot be used: its files lie behind a link", "model_unusable", param="model")
    return AdapterSource.of(model.record, folder)


def _named(record: ModelRecord, asking: Caller) -> Iterator[Model]:
    owner = record.owner or asking.tenant
    for suffix in (str(record.version), record.alias):
        if suffix:
            yield Model(f"{BASE}:{owner}/{record.name}@{suffix}", owner, record)


def _fits(record: ModelRecord, serving: Serving) -> bool:
    try:
        return BackboneConfig(**record.base) == serving.config
    except (ValidationError, TypeError):
        return False
