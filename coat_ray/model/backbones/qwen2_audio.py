"""Qwen2-Audio: a Whisper-style tower over one 30 s window and a Qwen2 decoder.

The tower is run on the mel frames that are there, not on the padded window: its positions are absolute, padded keys are
masked and its convolutions reach three frames, so a few frames of real silence behind the longest clip give the same
result as the full window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import Qwen2AudioForConditionalGeneration, Qwen2AudioProcessor

from coat_ray.model.backbones.base import AudioFeatures, Backbone, FrontEnd, add_block_tokens
from coat_ray.targets.align import block_length

TAIL_FRAMES = 16
"""Mel frames of silence kept behind the longest clip; the convolutions see three."""


class Qwen2AudioFrontEnd(FrontEnd):
    """Chat template, tokenizer and log-mel of Qwen2-Audio."""

    def __init__(self, processor: Qwen2AudioProcessor) -> None:
        self.processor = processor
        self.tokenizer = processor.tokenizer
        self.extractor = processor.feature_extractor
        self.audio_id = processor.audio_token_id

    @property
    def window_samples(self) -> int:
        """One window of the feature extractor (30 s)."""
        return self.extractor.n_samples

    @property
    def end_of_turn_id(self) -> int:
        """Id of ``<|im_end|>``."""
        return self.tokenizer.convert_tokens_to_ids("<|im_end|>")

    @property
    def least_samples(self) -> int:
        """What the model's ``preprocessor_config.json`` says; the published models have no such bound."""
        return getattr(self.extractor, "least_samples", 0)

    def audio_length(self, num_samples: int) -> int:
        """L_a of a clip; the window of the feature extractor bounds it."""
        return block_length(min(max(num_samples, self.least_samples), self.window_samples))

    def prompt_text(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """Render with the processor's own chat template."""
        return self.processor.apply_chat_template(
            [dict(m) for m in messages], add_generation_prompt=True, tokenize=False
        )

    def features(self, signals: Sequence[np.ndarray]) -> AudioFeatures:
        """Log-mel of each clip, with a short tail of silence instead of the whole window."""
        extractor = self.extractor
        cut = [self.heard(signal) for signal in signals]
        frames = [-(-len(signal) // extractor.hop_length) for signal in cut]
        padded = min(max(frames) + TAIL_FRAMES + max(frames) % 2, extractor.nb_max_frames)
        mel = extractor(
            cut,
            sampling_rate=self.sample_rate,
            padding="max_length",
            max_length=padded * extractor.hop_length,
            return_tensors="pt",
        )["input_features"]
        lengths = [self.audio_length(len(signal)) for signal in cut]
        return AudioFeatures(mel, torch.tensor(frames), torch.tensor(lengths))


class Qwen2AudioBackbone(Backbone):
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

    @property
    def hidden_size(self) -> int:
        """D of the decoder."""
        return self.hf.config.text_config.hidden_size

    @property
    def language_model(self) -> Any:
        """The Qwen2 decoder."""
        return self.hf.model.language_model

    def encode_audio(self, audio: AudioFeatures) -> Tensor:
        """Tower and projector on the frames that are there, (sum L_a, D)."""
        hidden_NTD = self._tower_states(audio)
        pooled = F.avg_pool1d(hidden_NTD.transpose(1, 2), 2, 2).transpose(1, 2)
        tower = self.hf.model.audio_tower
        projected = self.hf.model.multi_modal_projector(tower.layer_norm(pooled))
        steps = torch.arange(projected.shape[1], device=projected.device)
        return projected[steps[None] < audio.lengths_N.to(projected.device)[:, None]]

    def _tower_states(self, audio: AudioFeatures) -> Tensor:
        """Tower states (N, T, D_tower) at 50 Hz, before pooling."""
        tower = self.hf.model.audio_tower
        mel = audio.features_NMF.to(tower.conv1.weight)
        x = F.gelu(tower.conv2(F.gelu(tower.conv1(mel)))).transpose(1, 2)
        x = x + tower.embed_positions.weight[: x.shape[1]]
        frames = audio.frames_N.to(x.device)
        valid_NT = torch.arange(x.shape[1], device=x.device)[None] < ((frames - 1) // 2 + 1)[:, None]
        bias = torch.zeros(valid_NT.shape, dtype=x.dtype, device=x.device)
        bias = bias.masked_fill(~valid_NT, torch.finfo(x.dtype).min)[:, None, None, :]
        for layer in tower.layers:
            x = layer(x, bias.expand(-1, 1, x.shape[1], -1))
        return x
