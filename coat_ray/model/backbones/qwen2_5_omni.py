"""Qwen2.5-Omni, its thinker only: a tower that attends within chunks of 2 s, and a Qwen2.5 decoder.

Tokenizer and feature extractor are enough for sound, so neither an image nor a video processor is loaded. The decoder's
positions have three axes (time, height, width); without images or video they are equal, and block tokens count on them
as text does.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoTokenizer, Qwen2_5OmniThinkerForConditionalGeneration, WhisperFeatureExtractor
from transformers.utils import cached_file

from coat_ray.model.backbones.base import AudioFeatures, Backbone, add_block_tokens, shapes_of
from coat_ray.model.backbones.whisper import WhisperFrontEnd


class Qwen2_5OmniBackbone(Backbone):  # noqa: N801 - the model's name
    """The thinker of Qwen2.5-Omni opened at its tower and decoder."""

    def __init__(
        self, hf: Qwen2_5OmniThinkerForConditionalGeneration, tokenizer: Any, extractor: WhisperFeatureExtractor
    ) -> None:
        super().__init__()
        self.hf = hf
        self.front = WhisperFrontEnd(tokenizer, tokenizer, extractor, hf.config.audio_token_id)
        self.front.block_ids = add_block_tokens(hf, tokenizer, self.front.header_end_id)

    @classmethod
    def load(cls, weights: str | Path, dtype: torch.dtype) -> Qwen2_5OmniBackbone:
        """Load a folder or a hub id, of the whole model or of the thinker alone."""
        return cls._on(Qwen2_5OmniThinkerForConditionalGeneration.from_pretrained(weights, dtype=dtype), weights)

    @classmethod
    def outline(cls, weights: str | Path) -> Qwen2_5OmniBackbone:
        """Front end and shapes."""
        return cls._on(shapes_of(Qwen2_5OmniThinkerForConditionalGeneration, weights), weights)

    @classmethod
    def _on(cls, hf: Any, weights: str | Path) -> Qwen2_5OmniBackbone:
        tokenizer = AutoTokenizer.from_pretrained(weights)
        if tokenizer.chat_template is None:
            tokenizer.chat_template = _processor_template(weights)
        return cls(hf, tokenizer, WhisperFeatureExtractor.from_pretrained(weights))

    def encode_audio(self, audio: AudioFeatures) -> Tensor:
        """The tower, whose last layer is the projector, on the frames that are there, (sum L_a, D)."""
        frames = audio.frames_N.to(audio.features_NMF.device)
        steps = torch.arange(audio.features_NMF.shape[-1], device=frames.device)
        valid_NF = steps[None] < frames[:, None]
        return self.hf.get_audio_features(audio.features_NMF, feature_attention_mask=valid_NF).last_hidden_state


def _processor_template(weights: str | Path) -> str:
    """The chat template that the published model keeps for its processor, beside the tokenizer's files."""
    path = cached_file(weights, "chat_template.json")
    assert path is not None  # a missing file raises
    return json.loads(Path(path).read_text())["chat_template"]
