"""Models as a tenant's job would have left them."""

from __future__ import annotations

from coat_ray.registry.licences import Ingredient
from coat_ray.registry.models import ModelRecord, ModelRegistry
from tests.serve.conftest import World

FREE = Ingredient("base", "small", "Apache-2.0", commercial_use=True)
NON_COMMERCIAL = Ingredient("expert", "spidr", "CC BY-NC 4.0", commercial_use=False)
NO_DERIVATIVES = Ingredient("corpus", "calls", "CC BY-ND 4.0", commercial_use=True)
BASE = {"family": "qwen2_audio", "weights": "embedded"}


def registry_of(world: World, tenant: str = "speech") -> ModelRegistry:
    """As the tenant's jobs open it."""
    return ModelRegistry(world.platform.storage.tenant(tenant))


def add_model(
    world: World, tenant: str = "speech", name: str = "trial", *ingredients: Ingredient, alias: str | None = "coat"
) -> ModelRecord:
    """One version more."""
    adapter = world.platform.storage.root / "made"
    adapter.mkdir(exist_ok=True)
    (adapter / "weights.bin").write_bytes(b"one")
    lineage = {"run": "r1", "parents": {"train.jsonl": "abc"}}
    return registry_of(world, tenant).add(
        name, adapter, base=BASE, ingredients=ingredients or [FREE], alias=alias, lineage=lineage, scores={"a": 0.5}
    )


def share(world: World, name: str = "trial@1", who: str = "admin", **more: object):  # type: ignore[no-untyped-def]
    """Ask for a grant to the tenant music."""
    body = {"kind": "model", "name": name, "with": "music", **more}
    return world.ask("POST", "/shares", who, json=body)
