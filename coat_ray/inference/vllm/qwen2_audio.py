"""vLLM's Qwen2-Audio with LoRA on its language model, which vLLM's own class does not offer."""

from __future__ import annotations

from typing import ClassVar

from vllm.model_executor.models.interfaces import SupportsLoRA
from vllm.model_executor.models.module_mapping import MultiModelKeys
from vllm.model_executor.models.qwen2_audio import Qwen2AudioForConditionalGeneration


class AdaptedQwen2Audio(Qwen2AudioForConditionalGeneration, SupportsLoRA):
    """The same model; tower and projector are shared by all adapters."""

    packed_modules_mapping: ClassVar[dict[str, list[str]]] = {
        "qkv_proj": ["q_proj", "k_proj", "v_proj"],
        "gate_up_proj": ["gate_proj", "up_proj"],
    }

    def get_mm_mapping(self) -> MultiModelKeys:
        """Which part is the language model."""
        return MultiModelKeys.from_string_field(
            language_model="language_model", connector="multi_modal_projector", tower_model="audio_tower"
        )
