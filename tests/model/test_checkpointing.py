"""Computing the decoder's layers again saves memory and changes no bit, with dropout too."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from coat_ray.config import RunConfig
from coat_ray.model.backbones import load_backbone
from coat_ray.model.coat import CoatModel, Teacher
from coat_ray.model.losses import FocalSettings
from tests.model.batches import make_batch


class Pass(NamedTuple):
    """What one forward and backward pass gave."""

    losses: dict[str, Tensor]
    gradients: dict[str, Tensor]
    saved_bytes: int
    layer_runs: int
    tower_runs: int


@pytest.fixture
def model(config: RunConfig, specs) -> CoatModel:
    lora = config.lora.model_copy(update={"dropout": 0.3})
    model = CoatModel.create(config.model_copy(update={"lora": lora}), block=True, specs=specs)
    torch.manual_seed(1)
    with torch.no_grad():  # LoRA's B starts at zero, and its A would have no gradient
        for _, parameter in model.trainable_parameters()["lora"]:
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.train()


def run(model: CoatModel, clips, specs, seed: int = 2) -> Pass:
    kept: dict[int, Tensor] = {}
    runs = {"layer": 0, "tower": 0}
    parts = {
        "layer": model.backbone.language_model.layers[0].mlp,
        "tower": model.backbone.hf.model.audio_tower.layers[0],
    }
    hooks = [
        part.register_forward_pre_hook(lambda *_, name=name: runs.__setitem__(name, runs[name] + 1))
        for name, part in parts.items()
    ]
    parameters = {p.data_ptr() for p in model.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in parameters:
            kept[tensor.data_ptr()] = tensor
        return tensor

    torch.manual_seed(seed)
    model.zero_grad()
    batch, active = make_batch(model, clips, specs), ("recon", *sorted(specs))
    with saved_tensors_hooks(keep, lambda tensor: tensor):
        output = model(batch, active)
    losses = {"ce": output.ce_sum}
    losses |= {f"{role}/{n}": term for role, terms in output.expert_sums.items() for n, term in terms.items()}
    torch.stack(list(losses.values())).sum().backward()
    for hook in hooks:
        hook.remove()
    gradients = {name: p.grad.clone() for group in model.trainable_parameters().values() for name, p in group}
    saved = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
    return Pass({k: v.detach() for k, v in losses.items()}, gradients, saved, runs["layer"], runs["tower"])


def differing(left: dict[str, Tensor], right: dict[str, Tensor]) -> list[str]:
    assert left.keys() == right.keys()
    return [key for key in left if not torch.equal(left[key], right[key])]


def test_losses_and_gradients_stay_the_same_to_the_bit_with_dropout(model: CoatModel, clips, specs) -> None:
    plain = run(model, clips, specs)
    model.checkpoint_activations()
    again, other = run(model, clips, specs), run(model, clips, specs, seed=3)
    assert differing(plain.losses, again.losses) == []
    assert differing(plain.gradients, again.gradients) == []
    assert all(gradient.any() for gradient in plain.gradients.values())
    assert "ce" in differing(plain.losses, other.losses)  # dropout drops something


def test_less_is_kept_and_only_the_decoder_runs_again(model: CoatModel, clips, specs) -> None:
    plain = run(model, clips, specs)
    model.checkpoint_activations()
    again = run(model, clips, specs)
    assert again.saved_bytes < plain.saved_bytes / 2
    assert (plain.layer_runs, again.layer_runs) == (1, 2)
    assert plain.tower_runs == again.tower_runs == 1


def test_outside_training_nothing_is_computed_again(model: CoatModel, clips, specs) -> None:
    model.checkpoint_activations()
    model.eval()
    assert run(model, clips, specs).layer_runs == 1


def test_it_may_be_asked_for_before_peft_wraps_the_model(config: RunConfig, clips) -> None:
    passes = []
    for early in (False, True):
        backbone = load_backbone(config.backbone)
        if early:
            backbone.checkpoint_activations()
        torch.manual_seed(0)
        teachers = {"recon": Teacher(backbone.hidden_size, "mse")}
        model = CoatModel(backbone, config.lora, config.projector, teachers, FocalSettings(), block=True)
        passes.append(run(model.train(), clips, {}))
    plain, again = passes
    assert (plain.layer_runs, again.layer_runs) == (1, 2)
    assert differing(plain.losses, again.losses) == []
    assert differing(plain.gradients, again.gradients) == []


def test_compiling_concerns_the_decoder_layers_and_changes_nothing_before_they_run(model: CoatModel) -> None:
    names = set(model.state_dict())
    model.compile_layers()
    compiled = [name for name, module in model.named_modules() if module._compiled_call_impl is not None]
    assert len(compiled) == len(model.backbone.language_model.layers)
    assert all(".layers." in name for name in compiled)
    assert set(model.state_dict()) == names
