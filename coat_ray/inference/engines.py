"""The engines by name, and how one is opened. vLLM itself is imported only by its engine, when that is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from coat_ray.config import BackboneConfig
from coat_ray.inference.limits import EngineLimits
from coat_ray.inference.vllm.limits import VllmLimits

if TYPE_CHECKING:
    import torch

    from coat_ray.inference.engine import Engine
    from coat_ray.inference.vllm.engine import VllmEngine

EngineName = Literal["transformers", "vllm"]
Limits = EngineLimits | VllmLimits
LIMITS: dict[EngineName, type[Limits]] = {"transformers": EngineLimits, "vllm": VllmLimits}
"""What each may hold; their defaults are those of the fields."""


def open_engine(config: BackboneConfig, limits: Limits, device: torch.device | None = None) -> Engine | VllmEngine:
    """The engine that the limits are of, with a base model.

    Args:
        config: the base.
        limits: what it may hold.
        device: where it runs; None: ``usable_device``. vLLM knows its own.

    Raises:
        ValueError, OSError: as ``load_backbone`` and ``VllmEngine``.
        ImportError: no vLLM in this environment.
    """
    if isinstance(limits, VllmLimits):
        from coat_ray.inference.vllm.engine import VllmEngine  # noqa: PLC0415

        return VllmEngine(config, limits)
    from coat_ray.inference.engine import Engine  # noqa: PLC0415

    return Engine.open(config, limits, device)
