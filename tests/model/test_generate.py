"""Answers come from the model with its block in place, whatever the batch, and the block can be taken away."""

from unittest import mock

import numpy as np
import pytest
import torch
from transformers.cache_utils import DynamicCache

from coat_ray.model.backbones import load_backbone
from coat_ray.model.generate import Generator
from coat_ray.model.interventions import BlockTreatment, exchange_blocks, shuffle_block, untrained_rows

QUESTION = [{"role": "user", "content": "<audio>\nwhat sound is heard"}]
TEXT = [{"role": "user", "content": "which note"}]


@pytest.fixture
def backbone(config):
    torch.manual_seed(3)
    backbone = load_backbone(config.backbone)
    with torch.no_grad():  # larger weights, so that positions and contents matter to an untrained model
        for name, parameter in backbone.hf.named_parameters():
            if "proj" in name and "weight" in name:
                parameter.mul_(3)
    return backbone


def test_an_answer_does_not_depend_on_its_batch_mates(backbone, clips):
    generator = Generator(backbone, block=True)
    together = generator.generate([QUESTION, QUESTION, TEXT], [[clips[0]], [clips[1]], []], 6)
    alone = [
        generator.generate([q], [s], 6).texts[0]
        for q, s in ((QUESTION, [clips[0]]), (QUESTION, [clips[1]]), (TEXT, []))
    ]
    assert together.texts == alone
    assert together.block_lengths == [
        backbone.front.audio_length(len(clips[0])),
        backbone.front.audio_length(len(clips[1])),
        0,
    ]


@torch.inference_mode()
def test_cached_decoding_equals_running_everything_again(backbone, clips):
    generator = Generator(backbone, block=True)
    tokens: list[int] = []
    generator.generate([QUESTION], [[clips[0]]], 5, on_tokens=lambda step: tokens.append(step[0]))
    front = backbone.front
    layout = front.encode_row(QUESTION, [front.audio_length(len(clips[0]))], block=True, with_response=False)
    z_audio = backbone.encode_audio(front.features(clips[:1]))
    ids = list(layout.input_ids)
    for token in tokens:
        ids_BS = torch.tensor([ids])
        audio_BS = torch.tensor([layout.audio + [False] * (len(ids) - len(layout))])
        hidden = backbone.decode(backbone.embed(ids_BS, audio_BS, z_audio), torch.ones_like(ids_BS))
        assert int(backbone.lm_head(hidden[0, -1]).argmax()) == token
        ids.append(token)


def test_the_block_is_there_unless_it_is_removed(backbone, clips):
    length = backbone.front.audio_length(len(clips[0]))
    kept = Generator(backbone, block=True).generate([QUESTION], [clips[:1]], 2)
    removed = Generator(backbone, block=True, treatment=BlockTreatment.REMOVED).generate([QUESTION], [clips[:1]], 2)
    assert kept.h_think.shape == (length, backbone.hidden_size)
    assert len(removed.h_think) == 0


def test_timings_add_up(backbone, clips):
    timings = Generator(backbone, block=True).generate([QUESTION], [clips[:1]], 4).timings
    assert timings.total == pytest.approx(timings.ttft + timings.decode, abs=1e-6)
    assert timings.ttft == pytest.approx(timings.encode + timings.prefill, abs=1e-6)
    assert 0 < timings.tokens <= 4


@torch.inference_mode()
def test_shuffling_moves_thoughts_as_if_they_had_come_in_another_order(backbone):
    """One layer deep, a key's content does not depend on its neighbours, so the move can be checked exactly."""
    model = backbone.language_model
    x = torch.randn(1, 12, backbone.hidden_size)
    think = torch.zeros(1, 12, dtype=torch.bool)
    think[0, 4:9] = True
    cache = DynamicCache()
    backbone.decode(x, torch.ones(1, 12, dtype=torch.long), cache, torch.arange(12)[None])
    shuffle_block(cache, think, torch.arange(12)[None], model.rotary_emb, seed=5)
    target = torch.arange(4, 9)
    order = target[torch.randperm(5, generator=torch.Generator().manual_seed(5))]
    moved = x.clone()
    moved[0, target] = x[0, order]
    expected = DynamicCache()
    backbone.decode(moved, torch.ones(1, 12, dtype=torch.long), expected, torch.arange(12)[None])
    torch.testing.assert_close(cache.layers[0].keys, expected.layers[0].keys, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(cache.layers[0].values, expected.layers[0].values, rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_exchanged_blocks_are_read_as_if_each_had_been_thought_in_the_other_prompt(backbone):
    """Two prompts padded on the left, the second one's block at other positions and half as long."""
    model = backbone.language_model
    x = torch.randn(2, 14, backbone.hidden_size)
    think = torch.zeros(2, 14, dtype=torch.bool)
    think[0, 6:12], think[1, 9:12] = True, True
    mask = torch.ones(2, 14, dtype=torch.long)
    mask[1, :4] = 0
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    cache, expected = DynamicCache(), DynamicCache()
    backbone.decode(x, mask, cache, positions)
    exchange_blocks(cache, think, positions, model.rotary_emb)
    moved = x.clone()
    moved[0, 6:12] = x[1, [9, 9, 10, 10, 11, 11]]
    moved[1, 9:12] = x[0, [6, 8, 10]]
    backbone.decode(moved, mask, expected, positions)
    for row, start in ((0, 0), (1, 4)):  # what stands in the padding is never read
        for found, wanted in zip(_first_layer(cache), _first_layer(expected), strict=True):
            torch.testing.assert_close(found[row, :, start:], wanted[row, :, start:], rtol=1e-4, atol=1e-4)


def _first_layer(cache: DynamicCache) -> tuple[torch.Tensor, torch.Tensor]:
    return cache.layers[0].keys, cache.layers[0].values


@pytest.mark.parametrize("treatment", [BlockTreatment.UNTRAINED, BlockTreatment.SHUFFLED, BlockTreatment.ALONE])
def test_a_treated_block_changes_what_the_answer_reads(backbone, clips, treatment):
    def last_state(how: BlockTreatment) -> torch.Tensor:
        generator = Generator(backbone, block=True, treatment=how)
        layouts, audio = generator._layouts([QUESTION], [clips[:1]])
        from coat_ray.model.generate import left_pad

        prompts = left_pad(layouts, 0, torch.device("cpu"))
        with torch.inference_mode():
            return generator._prefill(prompts, backbone.encode_audio(audio), DynamicCache())[:, -1]

    plain, treated = last_state(BlockTreatment.TRAINED), last_state(treatment)
    assert (plain - treated).norm() / plain.norm() > 1e-4


def test_an_answer_that_reads_the_block_alone_does_not_read_the_audio(backbone, clips):
    """What stands at the audio's positions once the block is computed makes no difference to it."""

    def answered(scramble: bool, how: BlockTreatment) -> torch.Tensor:
        generator = Generator(backbone, block=True, treatment=how)
        seen = []
        decode = backbone.decode

        def watched(x_BSD, mask_BS, cache, positions_BS):
            if x_BSD.shape[1] == 1 and scramble:
                audio = generator.front.encode_row(QUESTION, [length], block=True, with_response=False).audio
                at = torch.tensor(audio).nonzero().squeeze(-1)
                for layer in cache.layers:
                    layer.keys[:, :, at] += 5.0
                    layer.values[:, :, at] -= 5.0
            seen.append(decode(x_BSD, mask_BS, cache, positions_BS))
            return seen[-1]

        length = generator.front.audio_length(len(clips[0]))
        with mock.patch.object(backbone, "decode", watched):
            generator.generate([QUESTION], [clips[:1]], 1)
        return seen[-1][:, -1]

    alone = answered(False, BlockTreatment.ALONE)
    torch.testing.assert_close(answered(True, BlockTreatment.ALONE), alone)
    assert (answered(True, BlockTreatment.SHUFFLED) - answered(False, BlockTreatment.SHUFFLED)).norm() > 0.1


def test_untrained_rows_are_like_rows_of_the_vocabulary_and_fixed_by_the_seed():
    weight = torch.randn(100, 16)
    rows = untrained_rows(weight, [1, 2, 3])
    torch.testing.assert_close(rows.norm(dim=-1), weight.norm(dim=-1).mean().expand(3))
    torch.testing.assert_close(rows, untrained_rows(weight, [1, 2, 3]))
    assert not np.allclose(rows[0], rows[1])
