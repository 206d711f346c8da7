"""Aliases whose adapters stay in memory: when an alias moves, its new version is loaded before the old one may go."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from coat_ray.inference.errors import AdapterRefused, AdapterTooLarge
from coat_ray.inference.requests import AdapterSource
from coat_ray.registry.models import ModelNotFound, ModelRegistry
from coat_ray.storage import Storage

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0


class Pinning(Protocol):
    """What can hold adapters."""

    def pin(self, source: AdapterSource) -> None:
        """Load one and keep it."""
        ...

    def unpin(self, key: str) -> None:
        """Let it go again."""
        ...


def alias_source(storage: Storage, name: str) -> AdapterSource:
    """What ``TENANT/MODEL`` means now, by alias, version or name.

    Raises:
        ModelNotFound: no such model.
    """
    tenant, _, ref = name.partition("/")
    registry = ModelRegistry(storage.tenant(tenant))
    record = registry.resolve(ref)
    return AdapterSource.of(record, registry.adapter_folder(record))


class Pins:
    """Keeps the adapters of some names in an engine; ``look`` is called again and again."""

    def __init__(self, engine: Pinning, names: Sequence[str], find: Callable[[str], AdapterSource]) -> None:
        self._engine, self._names, self._find = engine, names, find
        self._held: dict[str, str] = {}

    def look(self) -> None:
        """Hold what each name means now; a name that means nothing, or nothing usable, keeps what it meant."""
        for name in self._names:
            try:
                source = self._find(name)
                if source.key == self._held.get(name):
                    continue
                self._engine.pin(source)
            except (ModelNotFound, AdapterRefused, AdapterTooLarge) as problem:
                logger.warning("%s is not kept in memory: %s", name, problem)
                continue
            if name in self._held:
                self._engine.unpin(self._held[name])
            self._held[name] = source.key
