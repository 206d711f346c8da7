"""Audio Flamingo 3: a Whisper-style tower over windows of 30 s, up to 10 minutes, and a Qwen2.5 decoder.

Each window has its own log-mel and its own tower pass, as in the model's processor; the audio tokens of a clip are
those of its windows, one after the other. A batch carries a clip's windows side by side on the frame axis.

Shapes: N clips, W windows of the longest clip, M mel bins, F mel frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import AudioFlamingo3ForConditionalGeneration, AudioFlamingo3Processor

from coat_ray.model.backbones.base import AudioFeatures, add_block_tokens, shapes_of
from coat_ray.model.backbones.whisper import WhisperBackbone, WhisperFrontEnd


class AudioFlamingo3FrontEnd(WhisperFrontEnd):
    """Front end of Audio Flamingo 3; its placeholder is ``<sound>``."""

    def __init__(self, processor: AudioFlamingo3Processor) -> None:
        super().__init__(processor, processor.tokenizer, processor.feature_extractor, processor.audio_token_id)
        self.placeholder, self._max_seconds = processor.audio_token, processor.max_audio_len

    @property
    def window_samples(self) -> int:
        """Whole windows up to the longest clip that the processor takes (10 minutes)."""
        return int(self._max_seconds // self.extractor.chunk_length) * self.extractor.n_samples

    def prompt_text(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """Render with the processor's chat template, which puts a message's sound before its text.

        The template marks at most one clip in a message; several are marked here, one after the other.
        """
        return super().prompt_text([{**m, "content": self._flat(m["content"])} for m in messages])

    def _flat(self, content: str | Sequence[Mapping[str, str]]) -> str:
        if isinstance(content, str):
            return content
        clips = sum(part["type"] == "audio" for part in content)
        return self.placeholder * clips + "".join(part["text"] for part in content if part["type"] == "text")

    def _log_mel(self, signals: Sequence[np.ndarray]) -> Tensor:
        """Log-mel (N, M, F), window after window; F is a multiple of a window's frames where a clip has several."""
        window = self.extractor.n_samples
        pieces = [[s[i : i + window] for i in range(0, len(s), window)] for s in signals]
        mel = super()._log_mel([piece for clip in pieces for piece in clip])
        if len(mel) == len(signals):
            return mel
        clips = mel.split([len(clip) for clip in pieces])
        rows = [clip.transpose(1, 2).flatten(0, 1) for clip in clips]  # (windows x frames, M)
        return pad_sequence(rows, batch_first=True).transpose(1, 2)


class AudioFlamingo3Backbone(WhisperBackbone):
    """Audio Flamingo 3 opened at its tower, projector and decoder; its vocabulary is full and grows by three rows."""

    front: AudioFlamingo3FrontEnd
    mask_argument = "input_features_mask"

    def __init__(self, hf: AudioFlamingo3ForConditionalGeneration, processor: AudioFlamingo3Processor) -> None:
        super().__init__()
        self.hf = hf
        self.front = AudioFlamingo3FrontEnd(processor)
        self.front.block_ids = add_block_tokens(hf, self.front.tokenizer, self.front.header_end_id)

    @classmethod
    def load(cls, weights: str | Path, dtype: torch.dtype) -> AudioFlamingo3Backbone:
        """Load a folder or a hub id."""
        hf = AudioFlamingo3ForConditionalGeneration.from_pretrained(weights, dtype=dtype)
        return cls(hf, AudioFlamingo3Processor.from_pretrained(weights))

    @classmethod
    def outline(cls, weights: str | Path) -> AudioFlamingo3Backbone:
        """Front end and shapes."""
        hf = shapes_of(AudioFlamingo3ForConditionalGeneration, weights)
        return cls(hf, AudioFlamingo3Processor.from_pretrained(weights))

    def encode_audio(self, audio: AudioFeatures) -> Tensor:
        """Tower and projector on the windows that are there, (sum L_a, D)."""
        return super().encode_audio(_windows(audio, self.front.extractor.nb_max_frames))


def _windows(audio: AudioFeatures, span: int) -> AudioFeatures:
    """Every window of *span* frames that holds sound as a clip of its own, in order."""
    width = audio.features_NMF.shape[-1]
    if width <= span:
        return audio
    mel = audio.features_NMF.unflatten(-1, (width // span, span)).transpose(1, 2).flatten(0, 1)
    starts = torch.arange(0, width, span, device=audio.frames_N.device)
    frames = (audio.frames_N[:, None] - starts).clamp(0, span).flatten()
    used = frames > 0
    frames = frames[used]
    lengths = (((frames - 1) // 2 + 1 - 2) // 2 + 1).clamp(min=0)
    return AudioFeatures(mel[used.to(mel.device)], frames, lengths)
