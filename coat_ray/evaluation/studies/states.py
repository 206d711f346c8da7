"""Hidden states that a probe reads: the mean over the block, and the last position before the answer.

Shapes: C clips, D hidden size, S positions, B rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from coat_ray.model.backbones.base import AUDIO_MARK
from coat_ray.model.generate import encode_clips, left_pad, pad_id
from coat_ray.model.opening import OpenModel

THINK, BEFORE = "think", "pre-generation"


@dataclass(frozen=True)
class StateReader:
    """Reads the states of one model on clips that are all asked the same question.

    Args:
        opened: the model, with or without a block.
        batch_rows: clips in one forward pass.
    """

    opened: OpenModel
    batch_rows: int = 32

    def conversation(self, question: str) -> list[dict[str, str]]:
        """The user's turn about one clip."""
        return [{"role": "user", "content": f"{AUDIO_MARK}\n{question}"}]

    @torch.inference_mode()
    def states(self, question: str, signals: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Final hidden states (C, D), float32, in the order of *signals* (mono at the front end's rate).

        ``think``: the mean over the block's thoughts; only of a model that has a block. ``pre-generation``: the last
        position of the prompt, from which the first token of the answer is predicted: the one that closes the block,
        or without a block the last token of the assistant's header.
        """
        order = sorted(range(len(signals)), key=lambda i: len(signals[i]))
        found: dict[str, list[np.ndarray]] = {}
        for start in range(0, len(order), self.batch_rows):
            batch = [signals[i] for i in order[start : start + self.batch_rows]]
            for name, states_BD in self._batch(question, batch).items():
                found.setdefault(name, []).append(states_BD)
        places = np.argsort(order)
        return {name: np.concatenate(parts)[places] for name, parts in found.items()}

    @torch.inference_mode()
    def answers(self, question: str, signals: Sequence[np.ndarray], max_new_tokens: int) -> list[str]:
        """The model's greedy answers."""
        generator, found = self.opened.generator(), []
        for start in range(0, len(signals), self.batch_rows):
            batch = signals[start : start + self.batch_rows]
            asked = [self.conversation(question)] * len(batch)
            found += generator.generate(asked, [[signal] for signal in batch], max_new_tokens).texts
        return found

    def _batch(self, question: str, signals: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        backbone, block = self.opened.backbone.eval(), self.opened.block
        front, device = backbone.front, backbone.lm_head.weight.device
        lengths = [front.audio_length(len(signal)) for signal in signals]
        asked = self.conversation(question)
        layouts = [front.encode_row(asked, [n], block=block, with_response=False) for n in lengths]
        prompts = left_pad(layouts, pad_id(front), device)
        z_audio = encode_clips(backbone, front.features(signals))
        x_BSD = backbone.embed(prompts.ids_BS, prompts.audio_BS, z_audio)
        hidden_BSD = backbone.decode(x_BSD, prompts.mask_BS, positions_BS=prompts.positions_BS).float()
        states = {BEFORE: hidden_BSD[:, -1]}
        if block:
            think_BS1 = prompts.think_BS[..., None]
            states[THINK] = (hidden_BSD * think_BS1).sum(1) / think_BS1.sum(1)
        return {name: states_BD.cpu().numpy() for name, states_BD in states.items()}
