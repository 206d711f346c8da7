"""A stand-in for the few names of vLLM that our side calls, so that what is ours runs where there is no vLLM."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest


@pytest.fixture
def vllm_names(monkeypatch):
    """``LoRARequest``, ``SamplingParams`` and the arguments of an engine as plain records."""

    def module(name, **names):
        made = ModuleType(name)
        vars(made).update(names)
        monkeypatch.setitem(sys.modules, name, made)
        return made

    def lora(name, number, path):
        return SimpleNamespace(lora_name=name, lora_int_id=number, lora_path=path)

    module("vllm", SamplingParams=SimpleNamespace)
    module("vllm.sampling_params", RequestOutputKind=SimpleNamespace(DELTA="delta"))
    module("vllm.lora")
    module("vllm.lora.request", LoRARequest=lora)
    module("vllm.engine")
    module("vllm.engine.arg_utils", AsyncEngineArgs=SimpleNamespace)
    module("vllm.platforms", current_platform=SimpleNamespace(is_cpu=lambda: True))
    module("vllm.v1")
    module("vllm.v1.engine")
    return module
