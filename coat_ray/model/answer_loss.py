"""The answers' cross-entropy in chunks of positions, so that no (P, V) tensor is kept for the backward pass.

Shapes: P response positions, C positions of one chunk, D hidden size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

CHUNK = 256
"""Positions whose logits exist at one time: with V = 156,032 one float32 copy of them is 160 MB, whatever P is."""


def answer_loss(lm_head: nn.Module, hidden_PD: Tensor, labels_P: Tensor, chunk: int = CHUNK) -> tuple[Tensor, Tensor]:
    """Sum of the cross-entropy over P positions, and how many of them the model gets right.

    Logits are made in the dtype of *lm_head* and scored in float32. More positions than *chunk* are taken chunk by
    chunk, and a chunk's logits are made again in the backward pass: at any time about four float32 copies of (chunk, V)
    live, instead of (P, V). Up to *chunk* positions the result is that of the plain computation bit for bit.

    *lm_head* is called once as a module, however many chunks there are. ZeRO-3 gathers its weight by hooks around that
    call, on all workers together: a worker with more chunks must not gather more often than one with fewer. An output
    layer with parts of its own (one that shares its matrix with trained token rows) has such hooks inside too and is
    computed in one piece.

    Args:
        lm_head: output layer (…, D) -> (…, V).
        hidden_PD: hidden states; P may be 0, and the loss is then a zero that still has a gradient.
        labels_P: the token at the next position.
        chunk: most positions in one piece.

    Returns:
        The sum () in float32, and the count () of correct positions, without a gradient.
    """
    if len(labels_P) <= chunk or next(lm_head.children(), None) is not None:
        return _score(lm_head(hidden_PD), labels_P)
    logits_of = lm_head.forward

    def scored(hidden_CD: Tensor, labels_C: Tensor) -> tuple[Tensor, Tensor]:
        return _score(logits_of(hidden_CD), labels_C)

    def in_chunks(hidden_PD: Tensor) -> tuple[Tensor, Tensor]:
        pieces = zip(hidden_PD.split(chunk), labels_P.split(chunk), strict=True)
        scores = [checkpoint(scored, *piece, use_reentrant=False, preserve_rng_state=False) for piece in pieces]
        ce_sums, correct = zip(*scores, strict=True)
        return torch.stack(ce_sums).sum(), torch.stack(correct).sum()

    with _forward_replaced(lm_head, in_chunks):
        return lm_head(hidden_PD)


def _score(logits_CV: Tensor, labels_C: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy first: the second computation of a chunk stops once it has what the backward pass needs."""
    logits_CV = logits_CV.float()
    ce_sum = F.cross_entropy(logits_CV, labels_C, reduction="sum")
    return ce_sum, (logits_CV.detach().argmax(-1) == labels_C).sum()


@contextmanager
def _forward_replaced(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """Let a call of *module* run *forward* between the module's own hooks."""
    before = module.__dict__.get("forward")
    module.forward = forward
    try:
        yield
    finally:
        if before is None:
            del module.forward
        else:
            module.forward = before
