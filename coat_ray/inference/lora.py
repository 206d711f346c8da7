"""LoRA of many adapters on one model, each row of a batch with its own.

PEFT can mix adapters in a batch (``adapter_names``): layer by layer and adapter by adapter, each with its rows gathered
and scattered, so that a step with eight adapters is mostly the waiting for small operations. Here the adapters of a
batch stand side by side as one low-rank map, of which each row keeps its own adapter's part: two products per layer
however many adapters there are. Files and configuration are PEFT's, and so are the answers (tested).

Shapes: B rows, S positions, r rank of one adapter, R sum of the ranks side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from peft import LoraConfig
from torch import Tensor, nn

from coat_ray.inference.errors import AdapterRefused
from coat_ray.model.backbones.base import Backbone

UNMIXABLE = (
    "use_dora",
    "use_rslora",
    "use_bdlora",
    "use_qalora",
    "modules_to_save",
    "layer_replication",
    "target_parameters",
    "alora_invocation_tokens",
    "arrow_config",
    "lora_bias",
    "rank_pattern",
    "alpha_pattern",
    "fan_in_fan_out",
)
"""What is more than x + s·B(A(x)) with one rank and one scale for the whole adapter."""


@dataclass(frozen=True)
class _Pair:
    """A (R, in) and B (out, R), the scale multiplied into B; ``owners``: whose columns, with their ranks, in order."""

    a: Tensor
    b: Tensor
    owners: tuple[tuple[str, int], ...]


class LoraLayers:
    """The linear layers of a base: ``linears`` of its language model, which take LoRA, and the names elsewhere."""

    def __init__(self, backbone: Backbone) -> None:
        inside = {id(module) for module in backbone.language_model.modules()}
        modules = [(name, module) for name, module in backbone.hf.named_modules() if isinstance(module, nn.Linear)]
        self.linears = {name: module for name, module in modules if id(module) in inside}
        self._elsewhere = {name for name, module in modules if id(module) not in inside}

    def check(self, config: LoraConfig, weights: Mapping[str, Tensor]) -> list[str]:
        """The names of the layers that an adapter changes.

        Raises:
            AdapterRefused: it adapts what this base does not have, or the tower, or is more than plain LoRA.
        """
        odd = [name for name in UNMIXABLE if getattr(config, name, None)]
        if odd or config.bias != "none":
            raise AdapterRefused(f"its adapter_config.json has {odd or ['bias']}, which cannot be mixed in one batch")
        names = sorted({name.rsplit(".lora_", 1)[0] for name in weights})
        if {f"{name}.lora_{part}.weight" for name in names for part in "AB"} != set(weights):
            raise AdapterRefused("its weights are not one lora_A and one lora_B for each layer")
        for name in names:
            if name in self._elsewhere:
                raise AdapterRefused(f"it adapts {name}, outside the language model; the tower is shared by adapters")
            if name not in self.linears:
                raise AdapterRefused(f"it adapts {name}, which this base does not have; it was trained on another one")
            wide, narrow = self.linears[name].weight.shape
            for part, wanted in (("A", (config.r, narrow)), ("B", (wide, config.r))):
                tensor = weights[f"{name}.lora_{part}.weight"]
                if tensor.shape != wanted:
                    found = tuple(tensor.shape)
                    raise AdapterRefused(f"{name}.lora_{part} has shape {found}, and rank and base need {wanted}")
                if not tensor.isfinite().all():  # in a mixed batch they would spoil the rows of others
                    raise AdapterRefused(f"{name}.lora_{part} has values that are not finite")
        return names


class LoraMixer:
    """The LoRA of the adapters on one model; belongs to the thread that runs the model."""

    def __init__(self, backbone: Backbone) -> None:
        self._layers = LoraLayers(backbone)
        self._linears = self._layers.linears
        self._adapters: dict[str, dict[str, _Pair]] = {}
        self._together: frozenset[str] = frozenset()
        self._stacks: dict[str, _Pair] = {}
        self._slots: list[str | None] = []
        self._inside = False
        self._kept: dict[tuple[tuple[str, int], ...], Tensor | None] = {}
        for name, linear in self._linears.items():
            linear.register_forward_hook(self._adder(name))

    def add(self, slot: str, config: LoraConfig, weights: Mapping[str, Tensor]) -> int:
        """Put an adapter's LoRA beside the others, under the name *slot*; gives its bytes.

        Args:
            slot: a name that is not in use.
            config: the adapter's configuration.
            weights: names as in the model, ``….q_proj.lora_A.weight``.

        Raises:
            AdapterRefused: it adapts what this base does not have, or the tower, or is more than plain LoRA.
        """
        names = self._layers.check(config, weights)
        pairs = {}
        for name in names:
            device = self._linears[name].weight.device
            a, b = (weights[f"{name}.lora_{part}.weight"].to(device) for part in "AB")
            pairs[name] = _Pair(a, b * (config.lora_alpha / config.r), ((slot, config.r),))
        self._adapters[slot] = pairs
        return sum(pair.a.nbytes + pair.b.nbytes for pair in pairs.values())

    def remove(self, slot: str) -> None:
        """Take an adapter's LoRA out of memory."""
        del self._adapters[slot]
        if slot in self._together:
            self._together, self._stacks = frozenset(), {}

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor held: the adapters', and those of the adapters that ran side by side last."""
        for pairs in (*self._adapters.values(), self._stacks):
            for pair in pairs.values():
                yield from (pair.a, pair.b)

    @contextmanager
    def rows(self, slots: Sequence[str | None]) -> Iterator[None]:
        """Inside, row i of every forward pass runs with the LoRA of ``slots[i]``; None: with none."""
        needed = {slot for slot in slots if slot is not None}
        if not needed <= self._together or 0 < 2 * len(needed) < len(self._together):
            self._stack(needed)
        if self._slots != slots:
            self._slots, self._kept = list(slots), {}
        self._inside = bool(needed)
        try:
            yield
        finally:
            self._inside = False

    def _stack(self, slots: set[str]) -> None:
        """Put these adapters side by side, until others or far fewer are needed; a single one is used as it is."""
        self._stacks = {}
        for name in self._linears:
            pairs = [self._adapters[slot][name] for slot in sorted(slots) if name in self._adapters[slot]]
            if len(pairs) == 1:
                self._stacks[name] = pairs[0]
            elif pairs:
                a, b = torch.cat([pair.a for pair in pairs]), torch.cat([pair.b for pair in pairs], dim=1)
                self._stacks[name] = _Pair(a, b, tuple(owner for pair in pairs for owner in pair.owners))
        self._together, self._kept = frozenset(slots), {}

    def _adder(self, name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor | None]:
        def add(_: nn.Module, args: tuple[Tensor, ...], output_BSE: Tensor) -> Tensor | None:
            pair = self._stacks.get(name)
            if pair is None or not self._inside:
                return None
            inner_BSR = F.linear(args[0].to(pair.a.dtype), pair.a)
            foreign_B1R = self._foreign(pair.owners, inner_BSR.device)
            if foreign_B1R is not None:
                inner_BSR = inner_BSR.masked_fill(foreign_B1R, 0)
            return output_BSE + F.linear(inner_BSR, pair.b).to(output_BSE.dtype)

        return add

    def _foreign(self, owners: tuple[tuple[str, int], ...], device: torch.device) -> Tensor | None:
        """Which columns are not a row's own (B, 1, R); None where all are."""
        if owners not in self._kept:
            columns = [slot for slot, rank in owners for _ in range(rank)]
            foreign = [[[column != slot for column in columns]] for slot in self._slots]
            anyone = any(any(row[0]) for row in foreign)
            self._kept[owners] = torch.tensor(foreign, device=device) if anyone else None
        return self._kept[owners]
