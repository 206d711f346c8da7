"""The embedded model before training: tokenizer, sizes, and the class and layout of Qwen2-Audio."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2AudioConfig,
    Qwen2AudioEncoderConfig,
    Qwen2AudioForConditionalGeneration,
    Qwen2AudioProcessor,
    Qwen2Config,
    WhisperFeatureExtractor,
)

CHAT_TEMPLATE = (
    "{% set clips = namespace(n=0) %}{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] if part['type'] != 'audio' %}{{ part['text'] | lower }}{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'audio' %}{% set clips.n = clips.n + 1 %}"
    "{{ '\\n' }}Audio {{ clips.n }}: <|audio_bos|><|AUDIO|><|audio_eos|>{% endfor %}{% endif %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Qwen2-Audio's, with a message's text before its clips: what the question is decides what a small model listens to."""
SAMPLE_RATE = 16_000
LEAST_SECONDS = 2.4
"""Clips are filled up to this. Nearly all of SoundWorld is shorter, so that a thought lies at one distance from its
audio token: a model of four layers does not learn to find it at a distance that changes with every clip."""
SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|audio_bos|>", "<|AUDIO|>", "<|audio_eos|>")


@dataclass(frozen=True)
class BaseSize:
    """Sizes of the embedded model. Heads are 32 wide so that vLLM's CPU kernels take it."""

    hidden: int = 128
    tower_layers: int = 2
    layers: int = 4
    heads: int = 4
    ffn: int = 384
    mel_bins: int = 128
    spare_rows: int = 16


def train_tokenizer(
    texts: Sequence[str], vocab_size: int = 512, special_tokens: Sequence[str] = SPECIAL_TOKENS
) -> PreTrainedTokenizerFast:
    """Byte-level BPE on the world's texts: any text encodes, the world's words take one token each."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(special_tokens),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator([f"{text}\n" for text in texts], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token="<|endoftext|>", eos_token="<|im_end|>", clean_up_tokenization_spaces=False
    )


def build_base(tokenizer: PreTrainedTokenizerFast, size: BaseSize, seed: int) -> tuple[Any, Qwen2AudioProcessor]:
    """An untrained model of the class and layout of Qwen2-Audio, and its processor."""
    torch.manual_seed(seed)
    vocab = -(-(len(tokenizer) + size.spare_rows) // 64) * 64
    config = Qwen2AudioConfig(
        audio_config=Qwen2AudioEncoderConfig(
            num_mel_bins=size.mel_bins,
            encoder_layers=size.tower_layers,
            encoder_attention_heads=size.heads,
            encoder_ffn_dim=size.ffn,
            d_model=size.hidden,
        ).to_dict(),
        text_config=Qwen2Config(
            vocab_size=vocab,
            hidden_size=size.hidden,
            intermediate_size=size.ffn,
            num_hidden_layers=size.layers,
            num_attention_heads=size.heads,
            num_key_value_heads=size.heads,
            max_position_embeddings=4096,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            tie_word_embeddings=False,
        ).to_dict(),
        audio_token_index=int(tokenizer.vocab["<|AUDIO|>"]),
    )
    model = Qwen2AudioForConditionalGeneration(config)
    positions = model.model.audio_tower.embed_positions.weight
    with torch.no_grad():
        positions.copy_(sinusoids(*positions.shape))
    extractor = WhisperFeatureExtractor(
        feature_size=size.mel_bins,
        return_attention_mask=True,
        least_samples=round(LEAST_SECONDS * SAMPLE_RATE),
    )
    return model, Qwen2AudioProcessor(extractor, tokenizer, chat_template=CHAT_TEMPLATE)


def sinusoids(length: int, channels: int, max_timescale: float = 10_000) -> Tensor:
    """Whisper's fixed positional embedding (length, channels)."""
    half = channels // 2
    rates = torch.exp(-math.log(max_timescale) / (half - 1) * torch.arange(half))
    angles = torch.arange(length)[:, None] * rates[None]
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def save_base(model: Any, processor: Qwen2AudioProcessor, folder: Path) -> None:
    """Write the model in half precision with its processor, as ``from_pretrained`` reads it."""
    model.to(torch.float16).save_pretrained(folder)
    processor.save_pretrained(folder)
