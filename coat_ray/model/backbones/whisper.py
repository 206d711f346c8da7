"""What the families share that hear through Whisper's features and, two of them, through a Whisper-style tower.

The tower is run on the mel frames that are there, not on the padded window: its positions are absolute, padded keys are
masked and its convolutions reach three frames, so a few frames of real silence behind the longest clip give the same
result as the full window.

Shapes: N clips (or windows), M mel bins, F mel frames, T tower positions (50 Hz), D hidden size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from coat_ray.model.backbones.base import AudioFeatures, Backbone, FrontEnd
from coat_ray.targets.align import block_length

TAIL_FRAMES = 16
"""Mel frames of silence kept behind the longest clip; the convolutions see three."""


class WhisperFrontEnd(FrontEnd):
    """Chat template, tokenizer and Whisper's log-mel.

    Args:
        chat: the processor or tokenizer that has the model's chat template.
        tokenizer: the tokenizer.
        extractor: a ``WhisperFeatureExtractor``; its ``n_samples`` is one window.
        audio_id: id of the audio placeholder.
    """

    def __init__(self, chat: Any, tokenizer: Any, extractor: Any, audio_id: int) -> None:
        self.chat, self.tokenizer, self.extractor, self.audio_id = chat, tokenizer, extractor, audio_id

    @property
    def window_samples(self) -> int:
        """One window of the feature extractor."""
        return self.extractor.n_samples

    @property
    def least_samples(self) -> int:
        """What the model's preprocessor configuration says; the published models have no such bound."""
        return getattr(self.extractor, "least_samples", 0)

    def audio_length(self, num_samples: int) -> int:
        """L_a of a clip.

        Raises:
            ValueError: the clip has fewer than ``least_tokens``.
        """
        length = block_length(min(max(num_samples, self.least_samples), self.window_samples))
        if length < self.least_tokens:
            raise ValueError(
                f"a clip of {num_samples} samples ({1000 * num_samples / self.sample_rate:.0f} ms) is too short: it "
                f"has {length} audio tokens, and this model needs {self.least_tokens}; leave it out or fill it up with "
                f"silence"
            )
        return length

    def prompt_text(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """Render with the model's own chat template."""
        return self.chat.apply_chat_template([dict(m) for m in messages], add_generation_prompt=True, tokenize=False)

    def features(self, signals: Sequence[np.ndarray]) -> AudioFeatures:
        """Log-mel of each clip, with a short tail of silence instead of the whole window.

        Raises:
            ValueError: a clip is too short; see ``audio_length``.
        """
        cut = [self.heard(signal) for signal in signals]
        lengths = [self.audio_length(len(signal)) for signal in cut]
        frames = [-(-len(signal) // self.extractor.hop_length) for signal in cut]
        return AudioFeatures(self._log_mel(cut), torch.tensor(frames), torch.tensor(lengths))

    def _log_mel(self, signals: Sequence[np.ndarray]) -> Tensor:
        """Log-mel (N, M, F) of signals that fit into one window."""
        extractor = self.extractor
        longest = -(-max(map(len, signals)) // extractor.hop_length)
        padded = min(longest + TAIL_FRAMES + longest % 2, extractor.nb_max_frames)
        return extractor(
            list(signals),
            sampling_rate=self.sample_rate,
            padding="max_length",
            max_length=padded * extractor.hop_length,
            return_tensors="pt",
        )["input_features"]

    def save(self, folder: Path) -> None:
        """Write the processor, or tokenizer and feature extractor where there is none."""
        parts = (self.chat, self.extractor) if self.chat is self.tokenizer else (self.chat,)
        for part in parts:
            part.save_pretrained(folder)


class WhisperBackbone(Backbone):
    """A model whose tower is Whisper's encoder with average pooling to 25 Hz, followed by a projector."""

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
