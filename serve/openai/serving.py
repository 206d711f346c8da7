"""What every route of the OpenAI API works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from anyio import CapacityLimiter
from fastapi import Request

from coat_ray.audio import AudioLimits
from coat_ray.config import BackboneConfig
from coat_ray.inference.protocol import AnsweringEngine
from coat_ray.targets.listening import Listener
from serve.access import Platform
from serve.openai.intake import Intake
from serve.openai.limits import DEFAULT_LIMITS, ServingLimits
from serve.openai.remote import Address, Remote, allowed_origins, is_public

MAX_SAMPLE_RATE = 96_000
"""Of a clip; with its seconds it bounds the memory that decoding takes."""


@dataclass(frozen=True)
class Serving:
    """An engine in front of a platform's tenants, keys and models. ``config`` says which base the engine has.

    ``reachable`` says which addresses clips may be fetched from, where ``limits`` name hosts at all.

    Raises:
        ValueError: a host in the limits that is none.
    """

    platform: Platform
    engine: AnsweringEngine
    config: BackboneConfig
    limits: ServingLimits = DEFAULT_LIMITS
    reachable: Callable[[Address], bool] = is_public
    listener: Listener = field(default_factory=Listener)

    def __post_init__(self) -> None:
        allowed_origins(self.limits.remote_hosts)  # said now, and not with the first clip

    @cached_property
    def intake(self) -> Intake:
        """Bodies on their way in."""
        return Intake(self.limits)

    @cached_property
    def remote(self) -> Remote:
        """Clips on other servers."""
        return Remote(self.limits, self.reachable)

    @cached_property
    def threads(self) -> CapacityLimiter:
        """Where requests are unpacked."""
        return CapacityLimiter(self.limits.threads)

    @cached_property
    def listening(self) -> CapacityLimiter:
        """Where teachers run: one clip at a time, beside the engine."""
        return CapacityLimiter(1)

    @property
    def heard_seconds(self) -> float:
        """How much of a clip the base hears."""
        return self.engine.front.window_samples / self.engine.front.sample_rate

    @property
    def audio_limits(self) -> AudioLimits:
        """What one clip may cost."""
        most = self.heard_seconds + self.limits.margin_seconds
        return AudioLimits(max_seconds=most, max_bytes=self.limits.body_bytes, max_sample_rate=MAX_SAMPLE_RATE)


def serving_of(request: Request) -> Serving:
    """Of the application that got this request."""
    serving: Serving = request.app.state.serving
    return serving
