"""The next token of each row. A row draws from its own source of chance, whatever the other rows do.

Shapes: B rows, V vocabulary.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from torch import Tensor

from coat_ray.inference.requests import Sampling


class Sampler:
    """Draws one row's tokens: one uniform number for each, so that a seed fixes the answer."""

    def __init__(self, sampling: Sampling) -> None:
        self.temperature, self.top_p = sampling.temperature, sampling.top_p
        self._random = random.Random(sampling.seed)

    @property
    def greedy(self) -> bool:
        """Whether the most probable token is taken each time."""
        return self.temperature == 0

    def draw(self, logits_V: Tensor) -> int:
        """One token, by the inverse of the cumulative distribution over the most probable tokens (float64)."""
        probabilities, order = (logits_V.double() / self.temperature).softmax(-1).sort(descending=True, stable=True)
        cumulative = probabilities.cumsum(-1)
        kept = int((cumulative - probabilities < self.top_p).sum())
        mass = float(cumulative[kept - 1])
        at = int(torch.searchsorted(cumulative[:kept], self._random.random() * mass, right=True))
        return int(order[min(at, kept - 1)])


def next_tokens(logits_BV: Tensor, samplers: Sequence[Sampler]) -> list[int]:
    """One token for each row; what is drawn is drawn on the CPU, the same on every device."""
    tokens = logits_BV.argmax(-1).tolist()
    drawn = [i for i, sampler in enumerate(samplers) if not sampler.greedy]
    if drawn:
        for i, logits_V in zip(drawn, logits_BV[drawn].cpu(), strict=True):
            tokens[i] = samplers[i].draw(logits_V)
    return tokens
