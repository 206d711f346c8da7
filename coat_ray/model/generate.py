"""Answers from a model, with the block forced in by the same layout that training uses. Greedy, batched.

Shapes: B rows, S prompt positions (padded on the left), D hidden size.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache

from coat_ray.model.backbones.base import AudioFeatures, Backbone, FrontEnd
from coat_ray.model.block import TokenLayout
from coat_ray.model.devices import wait_for
from coat_ray.model.interventions import MOVES, BlockTreatment, untrained_rows

Conversation = Sequence[dict[str, str]]


@dataclass
class Timings:
    """Seconds of one batch: tower, prefill, time to the first token, decoding, and all of it; answer tokens."""

    encode: float = 0.0
    prefill: float = 0.0
    ttft: float = 0.0
    decode: float = 0.0
    total: float = 0.0
    tokens: int = 0


@dataclass
class Answers:
    """Answers of a batch; ``h_think`` holds the final hidden states of all block positions, row after row (P, D).

    ``audio_tokens``: positions of each row that were filled from the tower.
    """

    texts: list[str]
    timings: Timings
    h_think: Tensor
    block_lengths: list[int]
    audio_tokens: list[int]


@dataclass
class Prompts:
    """Prompts padded on the left; ``positions_BS`` counts from each row's first real token."""

    ids_BS: Tensor
    mask_BS: Tensor
    audio_BS: Tensor
    think_BS: Tensor
    positions_BS: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.positions_BS = (self.mask_BS.cumsum(-1) - 1).clamp(min=0)


class Generator:
    """Greedy generation for a backbone, trained or not.

    Args:
        backbone: the model, with or without LoRA inside.
        block: whether the model was trained with a thinking block.
        treatment: how the block is treated; see ``BlockTreatment``.
    """

    def __init__(self, backbone: Backbone, *, block: bool, treatment: BlockTreatment = BlockTreatment.TRAINED) -> None:
        self.backbone = backbone.eval()
        self.front = backbone.front
        self.block = block and treatment is not BlockTreatment.REMOVED
        self.treatment = treatment

    @torch.inference_mode()
    def generate(
        self,
        conversations: Sequence[Conversation],
        signals: Sequence[Sequence[np.ndarray]],
        max_new_tokens: int,
        on_tokens: Callable[[list[int]], None] | None = None,
    ) -> Answers:
        """Answer each conversation about its clips (mono float32 at 16 kHz).

        Args:
            conversations: role/content messages that end with a user turn; ``<audio>`` marks a clip.
            signals: the clips of each conversation, in order.
            max_new_tokens: bound on the answer's length.
            on_tokens: called with the tokens of all rows after each step.
        """
        start = time.perf_counter()
        device = self.backbone.lm_head.weight.device
        layouts, audio = self._layouts(conversations, signals)
        prompts = left_pad(layouts, pad_id(self.front), device)
        audio_tokens = prompts.audio_BS.sum(1).tolist()
        z_audio = encode_clips(self.backbone, audio)
        assert len(z_audio) == sum(audio_tokens), "each position of a clip takes one row of the tower's output"
        wait_for(device)
        encoded = time.perf_counter()
        cache = DynamicCache()
        hidden_BSD = self._prefill(prompts, z_audio, cache)
        tokens_B = self.backbone.lm_head(hidden_BSD[:, -1]).argmax(-1)
        wait_for(device)
        prefilled = time.perf_counter()
        generated = self._decode(tokens_B, prompts, cache, max_new_tokens, on_tokens)
        end = time.perf_counter()
        count = sum(map(len, generated))
        timings = Timings(encoded - start, prefilled - encoded, prefilled - start, end - prefilled, end - start, count)
        texts = [self.front.tokenizer.decode(ids, skip_special_tokens=True).strip() for ids in generated]
        think_BS = prompts.think_BS[:, : hidden_BSD.shape[1]]
        block_lengths = prompts.think_BS.sum(1).tolist()
        return Answers(texts, timings, hidden_BSD[think_BS], block_lengths, audio_tokens)

    def _layouts(
        self, conversations: Sequence[Conversation], signals: Sequence[Sequence[np.ndarray]]
    ) -> tuple[list[TokenLayout], AudioFeatures | None]:
        lengths = [[self.front.audio_length(len(clip)) for clip in clips] for clips in signals]
        layouts = [
            self.front.encode_row(messages, row_lengths, block=self.block, with_response=False)
            for messages, row_lengths in zip(conversations, lengths, strict=True)
        ]
        clips = [clip for row in signals for clip in row]
        return layouts, self.front.features(clips) if clips else None

    def _prefill(self, prompts: Prompts, z_audio: Tensor, cache: DynamicCache) -> Tensor:
        x_BSD = self.backbone.embed(prompts.ids_BS, prompts.audio_BS, z_audio)
        if self.block and self.treatment is BlockTreatment.UNTRAINED:
            x_BSD = self._empty_block(x_BSD, prompts.ids_BS)
        move = MOVES.get(self.treatment) if self.block else None
        alone = self.block and self.treatment is BlockTreatment.ALONE
        if move is None and not alone:
            return self.backbone.decode(x_BSD, prompts.mask_BS, cache, prompts.positions_BS)
        body = self.backbone.decode(x_BSD[:, :-1], prompts.mask_BS[:, :-1], cache, prompts.positions_BS[:, :-1])
        if alone:
            prompts.mask_BS = prompts.mask_BS * ~prompts.audio_BS
        if move is not None:
            rotary = self.backbone.language_model.rotary_emb
            move(cache, prompts.think_BS[:, :-1], prompts.positions_BS[:, :-1], rotary)
        last = self.backbone.decode(x_BSD[:, -1:], prompts.mask_BS, cache, prompts.positions_BS[:, -1:])
        return torch.cat([body, last], dim=1)

    def _empty_block(self, x_BSD: Tensor, ids_BS: Tensor) -> Tensor:
        block_ids = self.front.block_ids.as_list()
        rows = untrained_rows(self.backbone.lm_head.weight, block_ids)
        for token, row in zip(block_ids, rows, strict=True):
            x_BSD = torch.where((ids_BS == token)[..., None], row.to(x_BSD), x_BSD)
        return x_BSD

    def _decode(
        self,
        tokens_B: Tensor,
        prompts: Prompts,
        cache: DynamicCache,
        max_new_tokens: int,
        on_tokens: Callable[[list[int]], None] | None,
    ) -> list[list[int]]:
        end, mask_BS, positions_B1 = self.front.end_of_turn_id, prompts.mask_BS, prompts.positions_BS[:, -1:]
        generated: list[list[int]] = [[] for _ in range(len(tokens_B))]
        running = torch.ones_like(tokens_B, dtype=torch.bool)
        nothing = torch.zeros(0, self.backbone.hidden_size, device=mask_BS.device)
        for step in range(max_new_tokens):
            running &= tokens_B != end
            for row in running.nonzero().squeeze(-1).tolist():
                generated[row].append(int(tokens_B[row]))
            if on_tokens is not None:
                on_tokens(tokens_B.tolist())
            if step + 1 == max_new_tokens or not running.any():
                break
            mask_BS = torch.cat([mask_BS, mask_BS.new_ones(len(mask_BS), 1)], dim=1)
            positions_B1 = positions_B1 + 1
            ids_B1 = tokens_B[:, None]
            x_B1D = self.backbone.embed(ids_B1, torch.zeros_like(ids_B1, dtype=torch.bool), nothing)
            tokens_B = self.backbone.lm_head(self.backbone.decode(x_B1D, mask_BS, cache, positions_B1)[:, -1]).argmax(
                -1
            )
        return generated


def encode_clips(backbone: Backbone, audio: AudioFeatures | None) -> Tensor:
    """The tower's output of clips, one after the other, on the model's device (sum L_a, D); (0, D) of none."""
    device = backbone.lm_head.weight.device
    if audio is None:
        return torch.zeros(0, backbone.hidden_size, device=device)
    moved = AudioFeatures(audio.features_NMF.to(device), audio.frames_N.to(device), audio.lengths_N.to(device))
    return backbone.encode_audio(moved)


def pad_id(front: FrontEnd) -> int:
    """What stands in the padding; never read."""
    pad = front.tokenizer.pad_token_id
    return front.end_of_turn_id if pad is None else pad


def left_pad(layouts: Sequence[TokenLayout], fill_id: int, device: torch.device) -> Prompts:
    """Layouts of different length as one batch."""
    width = max(map(len, layouts))

    def stack(rows: Sequence[Sequence[int | bool]], fill: int | bool) -> Tensor:
        return torch.tensor([[fill] * (width - len(row)) + list(row) for row in rows], device=device)

    return Prompts(
        ids_BS=stack([layout.input_ids for layout in layouts], fill_id),
        mask_BS=stack([[1] * len(layout) for layout in layouts], 0),
        audio_BS=stack([layout.audio for layout in layouts], False),
        think_BS=stack([layout.think for layout in layouts], False),
    )
