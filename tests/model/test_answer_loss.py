"""Chunks change what is kept for the backward pass, and nothing else."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from coat_ray.model.answer_loss import answer_loss

HIDDEN, VOCABULARY = 16, 1000


class OutputLayer(nn.Linear):
    """A frozen output layer."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(HIDDEN, VOCABULARY, bias=False)
        self.requires_grad_(False)


def inputs(positions: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(positions)
    hidden = torch.randn(positions, HIDDEN, generator=generator, requires_grad=True)
    return hidden, torch.randint(VOCABULARY, (positions,), generator=generator)


def plain(head: nn.Module, hidden: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    logits = head(hidden).float()
    return F.cross_entropy(logits, labels, reduction="sum"), (logits.argmax(-1) == labels).sum()


def gradient(loss: Tensor, hidden: Tensor) -> Tensor:
    (found,) = torch.autograd.grad(loss / 3, hidden)
    return found


@settings(max_examples=40, deadline=None)
@given(positions=st.integers(1, 60), chunk=st.integers(1, 64))
def test_chunks_change_neither_the_loss_nor_its_gradient(positions: int, chunk: int) -> None:
    head, (hidden, labels) = OutputLayer(), inputs(positions)
    labels[::2] = head(hidden).argmax(-1)[::2]
    ce_sum, correct = answer_loss(head, hidden, labels, chunk)
    expected, right = plain(head, hidden, labels)
    assert int(correct) == int(right) >= (positions + 1) // 2
    assert not correct.requires_grad
    assert ce_sum.dtype == torch.float32
    found, wanted = gradient(ce_sum, hidden), gradient(expected, hidden)
    if positions <= chunk:
        assert torch.equal(ce_sum, expected)
        assert torch.equal(found, wanted)
    assert ce_sum.item() == pytest.approx(expected.item(), rel=1e-6)
    assert float((found - wanted).norm() / wanted.norm()) < 1e-6


def largest_saved(positions: int, chunk: int) -> int:
    """Elements of the largest tensor that the forward pass keeps for the backward pass."""
    head, (hidden, labels) = OutputLayer(), inputs(positions)
    sizes = []

    def keep(tensor: Tensor) -> Tensor:
        if tensor is not head.weight:
            sizes.append(tensor.numel())
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        answer_loss(head, hidden, labels, chunk)
    return max(sizes)


def test_nothing_as_wide_as_the_vocabulary_is_kept_for_the_backward_pass() -> None:
    assert largest_saved(60, chunk=60) == 60 * VOCABULARY
    assert largest_saved(60, chunk=8) <= 60 * HIDDEN


def test_no_more_than_a_chunk_of_logits_is_ever_made() -> None:
    head, (hidden, labels) = OutputLayer(), inputs(60)
    made, linear = [], head.forward
    head.forward = lambda x: made.append(len(x)) or linear(x)  # type: ignore[method-assign]
    own = head.forward
    answer_loss(head, hidden, labels, chunk=8)[0].backward()
    assert made[: len(made) // 2] == [8] * 7 + [4]
    assert sorted(made[len(made) // 2 :]) == [4] + [8] * 7
    assert head.forward is own


@pytest.mark.parametrize("positions", [0, 5, 60])
def test_hooks_of_the_output_layer_run_once_however_many_chunks_there_are(positions: int) -> None:
    head, (hidden, labels) = OutputLayer(), inputs(positions)
    calls = []
    head.register_forward_pre_hook(lambda *_: calls.append("before"))
    head.register_forward_hook(lambda *_: calls.append("behind"))
    answer_loss(head, hidden, labels, chunk=8)[0].backward()
    assert calls == ["before", "behind"]
    assert "forward" not in vars(head)


def test_an_output_layer_with_parts_is_computed_in_one_piece() -> None:
    head, (hidden, labels) = nn.Sequential(OutputLayer()), inputs(60)
    calls = []
    head[0].register_forward_pre_hook(lambda *_: calls.append("part"))
    ce_sum, _ = answer_loss(head, hidden, labels, chunk=8)
    assert torch.equal(ce_sum, plain(head, hidden, labels)[0])
    assert calls == ["part"] * 2  # ours and that of the plain computation


def test_no_positions_give_a_zero_with_a_gradient() -> None:
    hidden = torch.randn(4, HIDDEN, requires_grad=True)
    ce_sum, correct = answer_loss(OutputLayer(), hidden[:0], torch.zeros(0, dtype=torch.long))
    ce_sum.backward()
    assert ce_sum.item() == correct.item() == 0
    assert hidden.grad is not None
    assert torch.equal(hidden.grad, torch.zeros(4, HIDDEN))


def test_sums_are_float32_where_the_model_is_bfloat16() -> None:
    head, (hidden, labels) = OutputLayer().bfloat16(), inputs(60)
    half = hidden.detach().bfloat16().requires_grad_()
    ce_sum, _ = answer_loss(head, half, labels, chunk=8)
    assert ce_sum.dtype == torch.float32
    assert ce_sum.item() == pytest.approx(plain(head, half, labels)[0].item(), rel=1e-5)
    assert gradient(ce_sum, half).dtype == torch.bfloat16
