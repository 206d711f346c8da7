"""Moving training state between a DeepSpeed engine and full tensors, whatever the ZeRO stage and the world size."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors import safe_open
from torch import Tensor, nn

from coat_ray.training.engine import Engine

MOMENTS = ("exp_avg", "exp_avg_sq")


def gather_state(engine: Engine, *, keep: bool) -> dict[str, Tensor]:
    """Full float32 values and moments of everything that trains. Every worker must call it.

    Args:
        engine: the running engine.
        keep: whether this worker wants the result; the others take part and get an empty dict.
    """
    state: dict[str, Tensor] = {}
    for name, parameter in engine.named_parameters():
        full = {"value": _full(engine, parameter), **{m: _full(engine, parameter, m) for m in MOMENTS}}
        if keep:
            state |= {f"{kind}/{name}": tensor.detach().float().cpu().contiguous() for kind, tensor in full.items()}
    return state


def load_values(parameters: Iterable[tuple[str, nn.Parameter]], state: Path) -> None:
    """Put a checkpoint's values into a model that no engine has taken over yet.

    Raises:
        ValueError: the checkpoint and the model have different parameters or shapes.
    """
    with safe_open(state, "pt") as file, torch.no_grad():
        known = {key.removeprefix("value/") for key in file.keys() if key.startswith("value/")}  # noqa: SIM118
        parameters = list(parameters)
        if differing := known.symmetric_difference(name for name, _ in parameters):
            raise ValueError(f"{state} does not fit this model: {json.dumps(sorted(differing)[:3])} …")
        for name, parameter in parameters:
            parameter.copy_(file.get_tensor(f"value/{name}"))


def load_moments(engine: Engine, state: Path) -> None:
    """Put a checkpoint's moments, and the float32 values that bfloat16 could not hold, into a fresh engine."""
    with safe_open(state, "pt") as file:
        for name, parameter in engine.named_parameters():
            for kind in ("value", *MOMENTS):
                _set_full(engine, parameter, file.get_tensor(f"{kind}/{name}"), None if kind == "value" else kind)


def _full(engine: Engine, parameter: nn.Parameter, moment: str | None = None) -> Tensor:
    if not engine.deepspeed.zero_optimization():
        return parameter if moment is None else engine.adam.state[parameter][moment]
    from deepspeed import utils  # noqa: PLC0415 - the engine imports it first, with care

    if moment:
        return utils.safe_get_full_optimizer_state(parameter, moment)
    return utils.safe_get_full_fp32_param(parameter)


def _set_full(engine: Engine, parameter: nn.Parameter, value: Tensor, moment: str | None) -> None:
    value = value.to(engine.deepspeed.device)
    if not engine.deepspeed.zero_optimization():
        _full(engine, parameter, moment).data.copy_(value)
        return
    from deepspeed import utils  # noqa: PLC0415 - the engine imports it first, with care

    if hasattr(parameter, "ds_tensor"):  # ZeRO-3's own setter fails where the world size does not divide the size
        share = _share(value, parameter.ds_tensor.numel())
        if moment:
            utils.safe_set_local_optimizer_state(parameter, share, moment)
        else:
            utils.safe_set_local_fp32_param(parameter, share)
    elif moment:
        utils.safe_set_full_optimizer_state(parameter, value, moment)
    else:
        utils.safe_set_full_fp32_param(parameter, value)


def _share(value: Tensor, size: int) -> Tensor:
    """This worker's part of a parameter under ZeRO-3: equal parts of the flat value, zeros behind its end."""
    start = dist.get_rank() * size
    part = value.flatten()[start : start + size]
    return nn.functional.pad(part, (0, size - len(part)))
