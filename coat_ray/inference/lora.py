"""LoRA of many adapters on one model, each row of a batch with its own.

PEFT mixes them: its LoRA layers take ``adapter_names``, one for each row. What PEFT does on top of that in every
forward pass (look at every module, hang a hook on it, take it off) would cost more than a step of a small model, so the
hooks are hung once and read who is in the batch from here.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from peft import LoraConfig
from peft.functional import delete_adapter, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from coat_ray.inference.errors import AdapterRefused
from coat_ray.model.backbones.base import Backbone

NO_ADAPTER = "__base__"
"""PEFT's name for a row without an adapter."""

UNMIXABLE = (
    "use_dora",
    "modules_to_save",
    "layer_replication",
    "target_parameters",
    "alora_invocation_tokens",
    "lora_bias",
    "use_bdlora",
    "arrow_config",
)
"""What PEFT cannot mix in one batch, or what would change more than the linear layers."""


class LoraMixer:
    """The LoRA layers of one model; belongs to the thread that runs the model."""

    def __init__(self, backbone: Backbone) -> None:
        self._backbone = backbone
        self._inside = {id(module) for module in backbone.language_model.modules()}
        self._hooked: set[int] = set()
        self._names: list[str] | None = None

    def add(self, slot: str, config: LoraConfig, weights: Mapping[str, Tensor]) -> int:
        """Put an adapter's LoRA beside the others, under the name *slot*; gives its bytes.

        Args:
            slot: a name without dots that is not in use.
            config: the adapter's configuration.
            weights: names as in the model, ``….q_proj.lora_A.weight``.

        Raises:
            AdapterRefused: it adapts what this base does not have, or the tower, or in a way that PEFT cannot mix.
        """
        modules = self._check(config, weights)
        config.trainable_token_indices, config.inference_mode = None, True
        config.target_modules = sorted(modules)
        with warnings.catch_warnings():  # PEFT asks transformers for a property by its old name
            warnings.simplefilter("ignore")
            inject_adapter_in_model(config, self._backbone.hf, slot, low_cpu_mem_usage=True, state_dict=dict(weights))
        try:
            nbytes = sum(self._fill(slot, name, tensor) for name, tensor in weights.items())
        except AdapterRefused:
            self.remove(slot)
            raise
        self._backbone.eval()
        self._hook()
        return nbytes

    def remove(self, slot: str) -> None:
        """Take an adapter's LoRA out of memory."""
        with warnings.catch_warnings():  # PEFT says that its active adapter went; here none is ever active
            warnings.simplefilter("ignore")
            delete_adapter(self._backbone.hf, slot, prefix="lora_", layer_cls=LoraLayer)
        self._backbone.hf.peft_config.pop(slot, None)

    @contextmanager
    def rows(self, slots: Sequence[str | None]) -> Iterator[None]:
        """Inside, row i of every forward pass runs with the LoRA of ``slots[i]``; None: with none."""
        self._names = [slot or NO_ADAPTER for slot in slots]
        try:
            yield
        finally:
            self._names = None

    def _check(self, config: LoraConfig, weights: Mapping[str, Tensor]) -> set[str]:
        odd = [name for name in UNMIXABLE if getattr(config, name, None)]
        if odd or config.bias != "none":
            raise AdapterRefused(f"its adapter_config.json has {odd or ['bias']}, which cannot be mixed in one batch")
        modules = {name.rsplit(".lora_", 1)[0] for name in weights}
        for name in sorted(modules):
            module = self._module(name)
            if module is None:
                raise AdapterRefused(f"it adapts {name}, which this base does not have; it was trained on another one")
            if id(module) not in self._inside and id(getattr(module, "base_layer", None)) not in self._inside:
                raise AdapterRefused(f"it adapts {name}, outside the language model; the tower is shared by adapters")
        if {f"{name}.lora_{part}.weight" for name in modules for part in "AB"} != set(weights):
            raise AdapterRefused("its weights are not one lora_A and one lora_B for each layer")
        return modules

    def _module(self, name: str) -> Any:
        try:
            return self._backbone.hf.get_submodule(name)
        except AttributeError:
            return None

    def _fill(self, slot: str, name: str, tensor: Tensor) -> int:
        module, part = name.rsplit(".lora_", 1)
        layer = self._backbone.hf.get_submodule(module)
        linear = getattr(layer, f"lora_{part[0]}")[slot]
        if linear.weight.shape != tensor.shape:
            found, wanted = tuple(tensor.shape), tuple(linear.weight.shape)
            raise AdapterRefused(f"{name} has shape {found}, and this base needs {wanted}")
        linear.weight = nn.Parameter(tensor.to(layer.get_base_layer().weight.device), requires_grad=False)
        return linear.weight.nbytes

    def _hook(self) -> None:
        for module in self._backbone.language_model.modules():
            if isinstance(module, LoraLayer) and id(module) not in self._hooked:
                assert isinstance(module, nn.Module)  # LoraLayer is a mixin of modules
                module.register_forward_pre_hook(self._name_rows, with_kwargs=True)
                self._hooked.add(id(module))

    def _name_rows(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:  # noqa: ARG002
        assert self._names is not None, "a forward pass outside of rows() would run with whatever adapter came last"
        return args, {**kwargs, "adapter_names": self._names}
