"""What vLLM is told of us in each of its processes, as the entry point ``vllm.general_plugins``."""

from __future__ import annotations


def register() -> None:
    """Open Qwen2-Audio with the class that takes adapters; vLLM calls this before it loads a model."""
    from vllm import ModelRegistry  # noqa: PLC0415 - the package is read where there is no vLLM, too

    ModelRegistry.register_model(
        "Qwen2AudioForConditionalGeneration", "coat_ray.inference.vllm.qwen2_audio:AdaptedQwen2Audio"
    )
