"""The published models at full size, without weights: build them on the ``meta`` device.

Values are those of each model's ``config.json`` on the Hugging Face Hub, as transformers' documentation and the stored
copies of the Hub's files show them; what a config leaves out is transformers' default for the published checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from transformers import (
    AudioFlamingo3Config,
    AudioFlamingo3ForConditionalGeneration,
    Qwen2_5OmniThinkerConfig,
    Qwen2_5OmniThinkerForConditionalGeneration,
    Qwen2AudioConfig,
    Qwen2AudioForConditionalGeneration,
)


@dataclass(frozen=True)
class Published:
    """Sizes that can be checked without weights.

    ``tokens``: entries of the tokenizer, or the most it can have. ``lora``: LoRA parameters at rank 16 on the seven
    linear layers of every decoder layer. ``parameters``: of the model as published, with the relative precision at
    which its files state them.
    """

    build: Callable[[], Any]
    hidden: int
    layers: int
    rows: int
    tokens: int
    lora: int
    parameters: tuple[float, float] | None


def _qwen2_audio() -> Any:
    # Qwen/Qwen2-Audio-7B-Instruct, config.json at 9fffe918; the decoder's other sizes are Qwen2Config's defaults.
    text = {
        "model_type": "qwen2",
        "intermediate_size": 11008,
        "max_position_embeddings": 8192,
        "rope_theta": 10000,
        "rms_norm_eps": 1e-5,
        "vocab_size": 156032,
    }
    audio = {"model_type": "qwen2_audio_encoder", "num_mel_bins": 128, "encoder_layers": 32, "d_model": 1280}
    return Qwen2AudioForConditionalGeneration(Qwen2AudioConfig(audio_config=audio, text_config=text))


def _qwen2_5_omni() -> Any:
    # Qwen/Qwen2.5-Omni-7B, thinker_config; the audio tower's sizes are transformers' defaults, which name that model.
    text = {
        "tie_word_embeddings": False,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
    }
    config = Qwen2_5OmniThinkerConfig(
        vision_config={"hidden_size": 1280},
        text_config=text,
        vision_start_token_id=151652,
        vision_end_token_id=151653,
    )
    return Qwen2_5OmniThinkerForConditionalGeneration(config)


def _audio_flamingo_3() -> Any:
    # nvidia/audio-flamingo-3-hf, as transformers' convert_audioflamingo3_to_hf.py writes it.
    text = {
        "model_type": "qwen2",
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_attention_heads": 28,
        "num_hidden_layers": 28,
        "num_key_value_heads": 4,
        "rope_theta": 1e6,
        "vocab_size": 151672,
    }
    return AudioFlamingo3ForConditionalGeneration(AudioFlamingo3Config(text_config=text))


PUBLISHED = {
    # 16.79 GB: the five bfloat16 shards of the Hub's file list.
    # Any tokenizer with up to 156,029 entries leaves the spare rows that the published one does.
    "qwen2_audio": Published(_qwen2_audio, 4096, 32, 156032, 156029, 39_976_960, (16.79e9 / 2, 1e-3)),
    # 8,931,813,888: safetensors metadata of a full fine-tune that holds the thinker alone.
    "qwen2_5_omni": Published(_qwen2_5_omni, 3584, 28, 152064, 151665, 40_370_176, (8_931_813_888, 0)),
    "audio_flamingo_3": Published(_audio_flamingo_3, 3584, 28, 151672, 151672, 40_370_176, None),
}
