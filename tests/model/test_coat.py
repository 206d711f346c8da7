"""The student trains what it should, skips what is inactive, and survives a trip to disk."""

import pytest
import torch

from coat_ray.model.coat import CoatModel
from tests.model.batches import make_batch


@pytest.fixture
def model(config, specs):
    return CoatModel.create(config, block=True, specs=specs)


def total(output, weights):
    loss = output.ce_sum / output.num_response_tokens
    for role, terms in output.expert_sums.items():
        loss = loss + weights.get(role, 1.0) * sum(terms.values()) / output.num_positions[role]
    return loss


def test_only_lora_the_three_rows_and_the_heads_train(model, specs):
    groups = model.trainable_parameters()
    assert {name.rsplit(".", 3)[1] for name, _ in groups["lora"]} == {"lora_A", "lora_B"}
    assert [tuple(p.shape) for _, p in groups["tokens"]] == [(3, model.backbone.hidden_size)]
    assert {name.split(".")[1] for name, _ in groups["heads"]} == {"recon", *specs}
    frozen = [n for n, p in model.named_parameters() if not p.requires_grad]
    assert any("audio_tower" in n for n in frozen)
    assert any("lm_head" in n for n in frozen)
    assert all("language_model" in name for kind in ("lora", "tokens") for name, _ in groups[kind])


def test_every_active_term_reaches_the_token_rows_and_lora(model, clips, specs):
    active = ("recon", *sorted(specs))
    output = model(make_batch(model, clips, specs), active)
    assert set(output.expert_sums) == set(active)
    total(output, {}).backward()
    assert set(output.block_grad_norms) == set(active)
    assert all(norm > 0 for norm in output.block_grad_norms.values())
    assert all(p.grad is not None for group in model.trainable_parameters().values() for _, p in group)


def test_training_steps_bring_the_answers_loss_and_the_total_down(model, clips, specs):
    batch, active = make_batch(model, clips, specs), ("recon", *sorted(specs))
    parameters = [p for group in model.trainable_parameters().values() for _, p in group]
    adam, losses = torch.optim.Adam(parameters, lr=5e-3), []
    for _ in range(4):
        output = model(batch, active)
        loss = total(output, {})
        losses.append((output.ce_sum.item(), loss.item()))
        adam.zero_grad()
        loss.backward()
        adam.step()
    assert all(last < first for first, last in zip(losses[0], losses[-1], strict=True))


def test_inactive_heads_do_not_run(model, clips, specs):
    ran = []
    for role, head in model.heads.items():
        head.register_forward_hook(lambda *_, role=role: ran.append(role))
    model(make_batch(model, clips, specs), ("recon",))
    assert ran == ["recon"]


def test_a_changed_weight_changes_the_gradient(model, clips, specs):
    batch, gradients = make_batch(model, clips, specs), []
    for weight in (1.0, 5.0):
        model.zero_grad()
        total(model(batch, ("pitch",)), {"pitch": weight}).backward()
        gradients.append(model.trainable_parameters()["tokens"][0][1].grad.clone())
    assert not torch.allclose(*gradients)


def test_the_cross_entropy_is_that_of_the_response_tokens(model, clips, specs):
    batch = make_batch(model, clips, specs)
    output = model(batch)
    x = model.backbone.embed(batch.input_ids_BS, batch.audio_mask_BS, model.encode_audio(batch))
    logits = model.backbone.lm_head(model.backbone.decode(x, batch.attention_mask_BS))
    labels = torch.where(batch.response_mask_BS, batch.input_ids_BS, -100)
    expected = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="sum")
    torch.testing.assert_close(output.ce_sum, expected)
    assert output.num_response_tokens == int(batch.response_mask_BS.sum())


def test_a_clip_without_a_target_is_left_out_of_its_loss(model, clips, specs):
    batch = make_batch(model, clips, specs)
    first = int(batch.lengths_N[0])
    before = model(batch, ("speech",)).expert_sums["speech"]["mse"]
    batch.targets["speech"][:first] = 50.0
    batch.target_masks["speech"][:first] = False
    after = model(batch, ("speech",))
    assert after.num_positions["speech"] == int(batch.lengths_N[1:].sum())
    assert after.expert_sums["speech"]["mse"] < before


def test_the_sft_arm_has_neither_rows_nor_heads(config, clips, specs):
    model = CoatModel.create(config, block=False, specs={})
    assert {group for group, members in model.trainable_parameters().items() if members} == {"lora"}
    output = model(make_batch(model, clips, {}), ())
    assert output.h_think is None
    assert output.expert_sums == {}


def test_a_saved_adapter_opens_as_the_same_model(model, config, clips, specs, tmp_path):
    batch = make_batch(model, clips, specs)
    total(model(batch, ("recon", "pitch")), {}).backward()
    with torch.no_grad():
        for group in model.trainable_parameters().values():
            for _, parameter in group:
                parameter.add_(0.01 * torch.randn_like(parameter))
    model.save_adapter(tmp_path / "adapter")
    loaded = CoatModel.load(config.backbone, tmp_path / "adapter")
    ours, theirs = model.eval()(batch, ("pitch",)), loaded(batch, ("pitch",))
    torch.testing.assert_close(ours.ce_sum, theirs.ce_sum)
    torch.testing.assert_close(ours.expert_sums["pitch"], theirs.expert_sums["pitch"])
    assert loaded.teacher_specs["sed"] == specs["sed"][0]
