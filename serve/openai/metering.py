"""What requests use, for the tenants' limits and bills: seconds of audio, and tokens. An owner's count for nobody."""

from __future__ import annotations

from collections.abc import Sequence

from coat_ray.inference.requests import Usage
from coat_ray.tenancy.errors import Denied
from coat_ray.tenancy.rates import take
from coat_ray.tenancy.tables import UsageKind
from serve.access import Caller
from serve.openai.clips import Clip
from serve.openai.serving import Serving

OWNER = "/owner"
"""Whose cached clips an owner's key may use; no tenant is called so."""


def count_audio(serving: Serving, asking: Caller, clips: Sequence[Clip]) -> None:
    """Count the seconds of clips against the tenant's limit and towards its usage.

    Raises:
        Denied: too much in this minute.
    """
    tenant, seconds = asking.principal.tenant, sum(clip.seconds for clip in clips)
    if tenant is None or not seconds:
        return
    with asking.recorded("audio"):
        denial = take(serving.platform.database, tenant, requests=0, audio_seconds=seconds)
        if denial is not None:
            raise Denied(denial)
    serving.platform.usage.add(tenant, UsageKind.AUDIO_SECONDS, seconds)


def count_tokens(serving: Serving, tenant: str, usage: Usage) -> None:
    """Count the tokens of a complete answer. Quick enough for the engine's thread: nothing is written yet."""
    if tenant != OWNER:
        serving.platform.usage.add(tenant, UsageKind.PROMPT_TOKENS, usage.prompt)
        serving.platform.usage.add(tenant, UsageKind.COMPLETION_TOKENS, usage.completion)
