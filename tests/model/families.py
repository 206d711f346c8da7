"""Small untrained models of the three families, and the published full-size configurations.

Windows are shorter than the published ones, so that clips of a few seconds cross them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    AudioFlamingo3Config,
    AudioFlamingo3ForConditionalGeneration,
    AudioFlamingo3Processor,
    Qwen2_5OmniThinkerConfig,
    Qwen2_5OmniThinkerForConditionalGeneration,
    WhisperFeatureExtractor,
)

from coat_ray.model.pretraining.layout import BaseSize, build_base, train_tokenizer

TEXTS = ["what sound is heard", "a dog barks", "which note comes first", "c sharp", "transcribe the speech"]
CHAT = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
OMNI = (
    *CHAT,
    "<|AUDIO|>",
    "<|audio_bos|>",
    "<|audio_eos|>",
    "<|IMAGE|>",
    "<|VIDEO|>",
    "<|vision_bos|>",
    "<|vision_eos|>",
)
WINDOW_SECONDS = {"qwen2_audio": 30, "qwen2_5_omni": 12, "audio_flamingo_3": 2}

OMNI_TEMPLATE = (  # the published one, without images and video
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}<|im_end|>\n{% else %}"
    "{% for content in message['content'] %}"
    "{% if content['type'] == 'audio' or 'audio' in content or 'audio_url' in content %}"
    "<|audio_bos|><|AUDIO|><|audio_eos|>{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}"
    "<|im_end|>\n{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
FLAMINGO_TEMPLATE = (  # the published one
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "{% for m in messages if m['content'] is not none %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}"
    "{% set audio = namespace(found=False) %}{% set text_buf = namespace(v='') %}{% for c in m['content'] %}"
    "{% if c.get('type') == 'audio' or 'audio' in c %}{% set audio.found = True %}"
    "{% elif c.get('type') == 'text' or 'text' in c %}{% set text_buf.v = text_buf.v + c['text'] %}{% endif %}"
    "{% endfor %}"
    "{% if audio.found %}{{ '<sound>' }}{% endif %}{{ text_buf.v }}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

DECODER = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": False,
}


def _qwen2_audio(folder: Path) -> None:
    tokenizer = train_tokenizer(TEXTS, 300)
    model, processor = build_base(tokenizer, BaseSize(hidden=64, heads=2, ffn=96, layers=2, tower_layers=1), 0)
    processor.feature_extractor.least_samples = 0  # as the published models: clips keep their length
    _save(folder, model, processor)


def _qwen2_5_omni(folder: Path) -> None:
    tokenizer = train_tokenizer(TEXTS, 300, OMNI)
    tokenizer.chat_template = OMNI_TEMPLATE
    ids = tokenizer.vocab
    config = Qwen2_5OmniThinkerConfig(
        audio_config={
            "d_model": 64,
            "encoder_layers": 1,
            "encoder_attention_heads": 2,
            "encoder_ffn_dim": 96,
            "output_dim": 64,
        },
        vision_config={
            "depth": 1,
            "hidden_size": 32,
            "num_heads": 2,
            "intermediate_size": 32,
            "out_hidden_size": 64,
            "fullatt_block_indexes": [0],
        },
        text_config=DECODER
        | {
            "vocab_size": 320,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [4, 6, 6]},
        },
        audio_token_index=ids["<|AUDIO|>"],
        image_token_index=ids["<|IMAGE|>"],
        video_token_index=ids["<|VIDEO|>"],
        audio_start_token_id=ids["<|audio_bos|>"],
        audio_end_token_id=ids["<|audio_eos|>"],
        vision_start_token_id=ids["<|vision_bos|>"],
        vision_end_token_id=ids["<|vision_eos|>"],
    )
    torch.manual_seed(0)
    extractor = WhisperFeatureExtractor(128, chunk_length=WINDOW_SECONDS["qwen2_5_omni"], return_attention_mask=True)
    _save(folder, Qwen2_5OmniThinkerForConditionalGeneration(config), tokenizer, extractor)


def _audio_flamingo_3(folder: Path) -> None:
    seconds = WINDOW_SECONDS["audio_flamingo_3"]
    tokenizer = train_tokenizer(TEXTS, 300, (*CHAT, "<sound>"))
    config = AudioFlamingo3Config(
        audio_config={
            "model_type": "audioflamingo3_encoder",
            "hidden_size": 64,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 96,
            "max_source_positions": 50 * seconds,
        },
        text_config={"model_type": "qwen2", "vocab_size": len(tokenizer)} | DECODER,  # no spare rows
        audio_token_id=tokenizer.vocab["<sound>"],
    )
    torch.manual_seed(0)
    extractor = WhisperFeatureExtractor(128, chunk_length=seconds, return_attention_mask=True)
    processor = AudioFlamingo3Processor(
        extractor, tokenizer, chat_template=FLAMINGO_TEMPLATE, max_audio_len=6 * seconds
    )
    _save(folder, AudioFlamingo3ForConditionalGeneration(config), processor)


def _save(folder: Path, model: Any, *parts: Any) -> None:
    for part in (model.to(torch.float16), *parts):
        part.save_pretrained(folder)


TINY: dict[str, Callable[[Path], None]] = {
    "qwen2_audio": _qwen2_audio,
    "qwen2_5_omni": _qwen2_5_omni,
    "audio_flamingo_3": _audio_flamingo_3,
}
"""Family -> writes an untrained model of the right class, heads 32 wide, with its tokenizer and feature extractor."""


def full_windows(family: str, front: Any, clips: Sequence[np.ndarray]) -> dict[str, torch.Tensor]:
    """Audio inputs of transformers' own forward pass: full windows, made by the family's own preprocessing."""
    if family == "qwen2_5_omni":
        padded = front.extractor(
            list(clips), sampling_rate=16_000, padding="max_length", return_attention_mask=True, return_tensors="pt"
        )
        return {"input_features": padded["input_features"], "feature_attention_mask": padded["attention_mask"]}
    text, options = {"qwen2_audio": ("<|AUDIO|>", {"padding": True}), "audio_flamingo_3": ("<sound>", {})}[family]
    padded = front.chat(
        text=[text] * len(clips), audio=list(clips), sampling_rate=16_000, return_tensors="pt", **options
    )
    return {name: value for name, value in padded.items() if name.startswith(("input_features", "feature_"))}
