"""Opened at its tower, Qwen2-Audio gives what its own forward pass gives."""

import numpy as np
import pytest
import torch

from coat_ray.model.backbones import load_backbone
from coat_ray.model.backbones.base import content_parts


@pytest.fixture
def backbone(config):
    return load_backbone(config.backbone).eval()


@torch.inference_mode()
def test_logits_equal_those_of_transformers_on_the_full_window(backbone, clips):
    processor = backbone.front.processor
    messages = [{"role": "user", "content": content_parts("<audio>\nwhat sound is heard")}]
    text = processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    full = processor(text=[text] * 3, audio=clips, sampling_rate=16_000, return_tensors="pt", padding=True)
    theirs = backbone.hf(**full).logits
    audio_BS = full["input_ids"] == backbone.front.audio_id
    z_audio = backbone.encode_audio(backbone.front.features(clips))
    hidden = backbone.decode(backbone.embed(full["input_ids"], audio_BS, z_audio), full["attention_mask"])
    real = full["attention_mask"].bool()
    ours = backbone.lm_head(hidden)[real]
    assert torch.linalg.norm(theirs[real]) > 1
    torch.testing.assert_close(ours, theirs[real], rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_a_clip_sounds_the_same_beside_a_longer_one(backbone, clips):
    alone = backbone.encode_audio(backbone.front.features(clips[:1]))
    beside = backbone.encode_audio(backbone.front.features(clips))[: len(alone)]
    torch.testing.assert_close(alone, beside, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("samples", "tokens"), [(16_000, 25), (160_000, 250), (480_000, 750), (900_000, 750)])
def test_audio_tokens_come_at_25_hz_and_stop_at_the_window(backbone, samples, tokens):
    assert backbone.front.audio_length(samples) == tokens


def test_features_carry_one_length_per_clip(backbone, clips):
    audio = backbone.front.features(clips)
    assert audio.frames_N.tolist() == [-(-len(c) // 160) for c in clips]
    assert backbone.encode_audio(audio).shape == (int(audio.lengths_N.sum()), backbone.hidden_size)


def test_block_rows_start_at_the_mean_and_take_spare_rows(backbone):
    ids = backbone.front.block_ids.as_list()
    weight = backbone.hf.get_input_embeddings().weight
    assert len(set(ids)) == 3
    assert max(ids) < weight.shape[0]
    torch.testing.assert_close(weight[ids[0]], weight[ids[1]])


def test_the_closing_token_starts_as_the_end_of_the_header_and_is_never_the_likelier_one(backbone):
    header = backbone.front.tokenizer.encode("\n")[-1]
    end = backbone.front.block_ids.end
    assert backbone.front.header_end_id == header
    rows, out = backbone.hf.get_input_embeddings().weight, backbone.lm_head.weight
    torch.testing.assert_close(rows[end], rows[header])
    assert not torch.equal(out[end], out[header])


def test_short_clips_are_filled_up_where_the_model_says_so(backbone):
    front, clip = backbone.front, np.full(8_000, 0.25, dtype=np.float32)
    assert len(front.heard(clip)) == 8_000
    front.extractor.least_samples = 16_000
    assert front.heard(clip).tolist() == [0.25] * 8_000 + [0.0] * 8_000
    assert front.heard(np.ones(20_000, np.float32)).shape == (20_000,)
    assert [front.audio_length(n) for n in (8_000, 16_000, 32_000)] == [25, 25, 50]
    assert front.features([clip]).lengths_N.tolist() == [25]


def test_lora_goes_into_the_language_model_only(backbone):
    names = backbone.linear_names(["q_proj", "down_proj"])
    assert len(names) == 2 * 2
    assert all("language_model" in name and "audio_tower" not in name for name in names)
    with pytest.raises(ValueError, match="no linear layer named \\['w_proj'\\]"):
        backbone.linear_names(["w_proj"])


def test_signals_are_left_as_they_are(backbone):
    clip = np.full(8_000, 0.25, dtype=np.float32)
    before = clip.copy()
    backbone.front.features([clip])
    np.testing.assert_array_equal(clip, before)
