"""Qwen2-Audio: a Whisper-style tower over one 30 s window and a Qwen2 decoder."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import Qwen2AudioForConditionalGeneration, Qwen2AudioProcessor

from coat_ray.model.backbones.base import add_block_tokens, shapes_of
from coat_ray.model.backbones.whisper import WhisperBackbone, WhisperFrontEnd


class Qwen2AudioFrontEnd(WhisperFrontEnd):
    """Front end of Qwen2-Audio.

    ``least_tokens`` is 2: transformers reads a single placeholder as the mark of the older format, which it expands
    itself, and the sequence is no longer the one that was laid out.
    """

    least_tokens = 2

    def __init__(self, processor: Qwen2AudioProcessor) -> None:
        super().__init__(processor, processor.tokenizer, processor.feature_extractor, processor.audio_token_id)


class Qwen2AudioBackbone(WhisperBackbone):
    """Qwen2-Audio opened at its tower, projector and decoder."""

    def __init__(self, hf: Qwen2AudioForConditionalGeneration, processor: Qwen2AudioProcessor) -> None:
        super().__init__()
        self.hf = hf
        self.front = Qwen2AudioFrontEnd(processor)
        self.front.block_ids = add_block_tokens(hf, self.front.tokenizer, self.front.header_end_id)

    @classmethod
    def load(cls, weights: str | Path, dtype: torch.dtype) -> Qwen2AudioBackbone:
        """Load a folder or a hub id."""
        hf = Qwen2AudioForConditionalGeneration.from_pretrained(weights, dtype=dtype)
        return cls(hf, Qwen2AudioProcessor.from_pretrained(weights))

    @classmethod
    def outline(cls, weights: str | Path) -> Qwen2AudioBackbone:
        """Front end and shapes."""
        hf = shapes_of(Qwen2AudioForConditionalGeneration, weights)
        return cls(hf, Qwen2AudioProcessor.from_pretrained(weights))
