"""What the platform asks of an audio language model: a front end for text and sound, a tower, a language model.

Shapes: B rows, S positions, N clips, M mel bins, F mel frames, L audio tokens of one clip, D hidden size, V vocabulary.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache

from coat_ray.model.block import BLOCK_TOKENS, BlockIds, TokenLayout, sample_layout

AUDIO_MARK = "<audio>"


@dataclass
class AudioFeatures:
    """Log-mel features of N clips, padded to the longest, with each clip's valid frames and audio tokens."""

    features_NMF: Tensor
    frames_N: Tensor
    lengths_N: Tensor


class FrontEnd(ABC):
    """Text and sound on their way in: chat template, tokenizer and feature extractor of one backbone."""

    tokenizer: Any
    audio_id: int
    block_ids: BlockIds
    sample_rate = 16_000
    least_tokens = 1
    """Fewest audio tokens of a clip that the model's own forward pass takes the right way."""

    @abstractmethod
    def features(self, signals: Sequence[np.ndarray]) -> AudioFeatures:
        """Log-mel features of mono float32 clips at ``sample_rate``; a clip longer than the window is cut."""

    @abstractmethod
    def audio_length(self, num_samples: int) -> int:
        """L_a, the number of audio tokens of a clip of that many samples (after the cut at the window).

        Raises:
            ValueError: the clip has fewer than ``least_tokens``.
        """

    @abstractmethod
    def prompt_text(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """Render chat messages (content as parts, audio parts included) up to and with the assistant header."""

    @property
    def header_end_id(self) -> int:
        """The last token before an answer."""
        empty = self.prompt_text([{"role": "user", "content": content_parts("")}])
        return self.tokenizer.encode(empty, add_special_tokens=False)[-1]

    @property
    @abstractmethod
    def window_samples(self) -> int:
        """Samples of a clip that the tower hears; the rest is cut."""

    @property
    def least_samples(self) -> int:
        """Shorter clips are filled up with silence to this many samples; 0 where the model takes any length."""
        return 0

    def heard(self, signal: np.ndarray) -> np.ndarray:
        """The part of a clip that the tower hears: cut at the window, filled up to the least length."""
        missing = self.least_samples - len(signal)
        return np.pad(signal, (0, missing)) if missing > 0 else signal[: self.window_samples]

    @property
    def end_of_turn_id(self) -> int:
        """The token that closes an answer: ``<|im_end|>`` in every Qwen language model."""
        return self.tokenizer.convert_tokens_to_ids("<|im_end|>")

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write tokenizer (with the block's tokens) and feature extractor where the model's own loader reads them."""

    def encode_row(
        self, messages: Sequence[Mapping[str, str]], audio_lengths: Sequence[int], *, block: bool, with_response: bool
    ) -> TokenLayout:
        """Lay out one conversation whose contents mark clips with ``<audio>``.

        Args:
            messages: ``role``/``content`` pairs; with ``with_response`` the last one is the answer to learn.
            audio_lengths: L_a of each clip, in order.
            block: insert the thinking block before the answer.
            with_response: append the last message and the end-of-turn token as the response.
        """
        asked = list(messages[:-1]) if with_response else list(messages)
        text = self.prompt_text([{"role": m["role"], "content": content_parts(m["content"])} for m in asked])
        prompt_ids = self.tokenizer.encode(text, add_special_tokens=False)
        response: list[int] = []
        if with_response:
            answer = self.tokenizer.encode(messages[-1]["content"], add_special_tokens=False)
            response = [*answer, self.end_of_turn_id]
        return sample_layout(prompt_ids, self.audio_id, audio_lengths, response, self.block_ids if block else None)


def content_parts(content: str) -> list[dict[str, str]]:
    """Split a content string at its ``<audio>`` marks into the parts that chat templates take."""
    pieces = content.split(AUDIO_MARK)
    parts: list[dict[str, str]] = []
    for index, piece in enumerate(pieces):
        if index:
            parts.append({"type": "audio", "audio_url": AUDIO_MARK})
        if text := piece.strip("\n"):
            parts.append({"type": "text", "text": text})
    return parts


class Backbone(nn.Module, ABC):
    """A pretrained audio language model, opened at the places where the block needs it."""

    hf: Any  # a transformers PreTrainedModel; its submodules are not typed
    front: FrontEnd
    mask_argument = "feature_attention_mask"
    """What transformers' own forward pass calls the mask of the mel frames."""

    @classmethod
    @abstractmethod
    def load(cls, weights: str | Path, dtype: torch.dtype) -> Backbone:
        """Load a folder or a hub id."""

    @classmethod
    @abstractmethod
    def outline(cls, weights: str | Path) -> Backbone:
        """The same without weights: the front end, and layers that have a shape and no values (on ``meta``)."""

    @property
    def hidden_size(self) -> int:
        """D."""
        return self.hf.config.text_config.hidden_size

    @property
    def language_model(self) -> Any:
        """The decoder (without the output layer)."""
        return self.hf.model.language_model

    @abstractmethod
    def encode_audio(self, audio: AudioFeatures) -> Tensor:
        """Tower and projector: one row per audio token, clips one after the other, (sum L_a, D)."""

    @property
    def lm_head(self) -> Any:
        """The output layer (D -> V); callers gather the positions they need first."""
        return self.hf.get_output_embeddings()

    def embed(self, input_ids_BS: Tensor, audio_mask_BS: Tensor, z_audio: Tensor) -> Tensor:
        """Token embeddings with the audio tokens' places filled from ``z_audio`` (sum L_a, D)."""
        x_BSD = self.hf.get_input_embeddings()(input_ids_BS)
        return x_BSD.masked_scatter(audio_mask_BS[..., None], z_audio.to(x_BSD.dtype))

    def decode(
        self, x_BSD: Tensor, attention_mask_BS: Tensor, cache: Cache | None = None, positions_BS: Tensor | None = None
    ) -> Tensor:
        """Final hidden states (B, S, D), after the last norm. Fills ``cache`` when one is given.

        ``positions_BS`` counts real tokens from 0 and is needed where rows are padded on the left or a cache goes
        before. Models with several position axes (Qwen2.5-Omni: time, height, width) count text, sound and block alike
        on each of them, which their decoder does itself with one axis.
        """
        return self.language_model(
            inputs_embeds=x_BSD,
            attention_mask=attention_mask_BS,
            position_ids=positions_BS,
            past_key_values=cache,
            use_cache=cache is not None,
        ).last_hidden_state

    def checkpoint_activations(self) -> None:
        """Keep only each decoder layer's input for the backward pass and compute the layer again there, to the bit.

        Less memory for about a third more computing, in training mode only. The tower has no backward pass, so it
        stays as it is. Before or after PEFT has wrapped the model: its layers are the same objects.
        """
        with warnings.catch_warnings():  # the method's newer name is not in every transformers that we take
            warnings.simplefilter("ignore", FutureWarning)
            self.language_model.gradient_checkpointing_enable({"use_reentrant": False})

    def compile_layers(self) -> None:
        """Let ``torch.compile`` make each decoder layer's small operations few; its first steps take a while longer.

        In place, before or after PEFT has wrapped the model. What it computes is the same to rounding.
        """
        for layer in self.language_model.layers:
            layer.compile()

    def linear_names(self, leaves: Sequence[str]) -> list[str]:
        """Full names of the language model's linear layers called *leaves*: where LoRA goes.

        Raises:
            ValueError: a leaf name that the language model does not have.
        """
        inside = {id(module) for module in self.language_model.modules()}
        found = [
            name
            for name, module in self.hf.named_modules()
            if id(module) in inside and isinstance(module, nn.Linear) and name.rsplit(".", 1)[-1] in leaves
        ]
        missing = set(leaves) - {name.rsplit(".", 1)[-1] for name in found}
        if missing:
            raise ValueError(f"lora.target_modules: the language model has no linear layer named {sorted(missing)}")
        return found


def shapes_of(model_class: Any, weights: str | Path) -> Any:
    """A transformers model as its configuration in a folder or on the hub says, its tensors without values."""
    with torch.device("meta"):
        return model_class(model_class.config_class.from_pretrained(weights))


def add_block_tokens(model: Any, tokenizer: Any, header_end: int) -> BlockIds:
    """Give the three block tokens their rows: spare rows where the vocabulary is padded, else new ones.

    Rows start at the mean of the embedding matrix, in the input and the output layer alike. Only the input row of the
    closing token starts as that of *header_end*, the last token of the assistant's header: an untrained model then
    answers behind the block as it does without one, and has to learn nothing anew before it can think. Where input and
    output share one matrix that row stays at the mean too, or the model would answer with it.
    """
    tokenizer.add_special_tokens({"additional_special_tokens": list(BLOCK_TOKENS)}, replace_extra_special_tokens=False)
    ids = [tokenizer.convert_tokens_to_ids(token) for token in BLOCK_TOKENS]
    embeddings = model.get_input_embeddings()
    known = embeddings.weight.shape[0]
    if max(ids) >= known:
        model.resize_token_embeddings(max(ids) + 1, mean_resizing=False)
    with torch.no_grad():
        for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
            layer.weight[ids] = layer.weight[:known].mean(0)
        embeddings = model.get_input_embeddings().weight
        if embeddings is not model.get_output_embeddings().weight:
            embeddings[ids[-1]] = embeddings[header_end]
    return BlockIds(*ids)
