"""What the configuration of hosted models may say, and what says nothing."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from coat_ray.inference.limits import EngineLimits
from coat_ray.inference.vllm.limits import VllmLimits
from serve.hosting.options import HostingOptions


def test_the_limits_are_those_of_the_engine_that_is_chosen() -> None:
    ours = HostingOptions.model_validate({"engine_limits": {"rows": 3}})
    other = HostingOptions.model_validate({"engine": "vllm", "vllm_limits": {"rows": 5}})
    assert ours.chosen_limits == EngineLimits(rows=3)
    assert other.chosen_limits == VllmLimits(rows=5)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"vllm_limits": {"rows": 5}}, "vllm_limits has no effect with engine: transformers"),
        ({"engine": "vllm", "engine_limits": {"rows": 5}}, "engine_limits has no effect with engine: vllm"),
        ({"engine": "vllm", "vllm_limits": {"lora_rank": 4}}, "Input should be 1, 8, 16, 32"),
        ({"engine": "vllm", "pinned": ["a/b"]}, "cannot be pinned with engine: vllm"),
    ],
)
def test_what_has_no_effect_is_refused(said: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        HostingOptions.model_validate(said)
