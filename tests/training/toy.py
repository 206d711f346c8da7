"""A small stand-in for CoatModel with the same contract: token rows, one adapted layer, linear heads."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coat_ray.model.batch import Batch, StepOutput

VOCAB = 16


class Rows(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.delta = nn.Parameter(torch.randn(3, width) * 0.1)

    def forward(self, x_BSD: Tensor) -> Tensor:
        return x_BSD + self.delta.mean(0)


class ToyModel(nn.Module):
    def __init__(self, roles: tuple[str, ...], width: int = 8, expert_width: int = 4, dropout: float = 0.1) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(VOCAB, width).requires_grad_(False)
        self.tokens = Rows(width)
        self.lora = nn.Linear(width, width, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.heads = nn.ModuleDict({role: nn.Linear(width, expert_width) for role in sorted(roles)})
        self.lm_head = nn.Linear(width, VOCAB).requires_grad_(False)

    def forward(self, batch: Batch, active: tuple[str, ...] = ()) -> StepOutput:
        x_BSD = self.tokens(self.embed(batch.input_ids_BS))
        x_BSD = x_BSD + self.dropout(torch.tanh(self.lora(x_BSD)))
        labels = batch.input_ids_BS[:, 1:][batch.response_mask_BS[:, 1:]]
        logits = self.lm_head(x_BSD[:, :-1][batch.response_mask_BS[:, 1:]])
        output = StepOutput(
            ce_sum=F.cross_entropy(logits, labels, reduction="sum"),
            num_response_tokens=len(labels),
            correct=(logits.argmax(-1) == labels).sum().detach(),
            h_think=x_BSD[batch.think_mask_BS],
        )
        for role in active:
            self._expert(role, batch, output)
        return output

    def _expert(self, role: str, batch: Batch, output: StepOutput) -> None:
        mask = batch.target_masks[role]
        tap = output.h_think.view_as(output.h_think)
        if tap.requires_grad:
            tap.register_hook(lambda grad: output.block_grad_norms.__setitem__(role, grad.norm()))
        error = (self.heads[role](tap) - batch.targets[role]).square().mean(-1)
        output.expert_sums[role] = {"mse": (error * mask).sum()}
        output.num_positions[role] = int(mask.sum())

    def save_adapter(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        torch.save(self.state_dict(), folder / "toy.pt")

    def trainable_parameters(self) -> dict[str, list[tuple[str, nn.Parameter]]]:
        groups: dict[str, list[tuple[str, nn.Parameter]]] = {"lora": [], "tokens": [], "heads": []}
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                groups[name.split(".", 1)[0]].append((name, parameter))
        return groups


def toy_batch(ids: list[str], roles: tuple[str, ...], expert_width: int = 4, block: int = 5) -> Batch:
    """A batch that depends on its row ids alone: 3 prompt tokens, *block* positions, 4 response tokens."""
    generator = [torch.Generator().manual_seed(int(row)) for row in ids]
    tokens = torch.stack([torch.randint(VOCAB, (3 + block + 4,), generator=g) for g in generator])
    place = torch.arange(tokens.shape[1]).expand_as(tokens)
    think = (place >= 3) & (place < 3 + block)
    targets = {role: torch.cat([torch.randn(block, expert_width, generator=g) for g in generator]) for role in roles}
    return Batch(
        row_ids=ids,
        input_ids_BS=tokens,
        attention_mask_BS=torch.ones_like(tokens),
        audio_mask_BS=torch.zeros_like(think),
        think_mask_BS=think,
        response_mask_BS=place >= 3 + block,
        features_NMF=torch.zeros(0, 1, 1),
        frames_N=torch.zeros(0, dtype=torch.long),
        lengths_N=torch.full((len(ids),), block),
        targets=targets,
        target_masks={role: torch.ones(len(target), dtype=torch.bool) for role, target in targets.items()},
    )


def silent_batch(roles: tuple[str, ...], expert_width: int = 4) -> Batch:
    """A batch of no rows, as the collator makes one: a row that has no response and no target."""
    batch = toy_batch(["0"], roles, expert_width)
    batch.row_ids = []
    batch.response_mask_BS = torch.zeros_like(batch.response_mask_BS)
    batch.target_masks = {role: torch.zeros_like(mask) for role, mask in batch.target_masks.items()}
    return batch
