"""Opened at its tower, each family gives what its own forward pass gives."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from coat_ray.config import BackboneConfig
from coat_ray.model.backbones import load_backbone, outline_backbone
from coat_ray.model.backbones.base import add_block_tokens, content_parts
from tests.model.families import WINDOW_SECONDS, full_windows

QUESTION = [{"role": "user", "content": "<audio>\nwhat sound is heard"}]
ONE = pytest.mark.parametrize("family", ["qwen2_audio"], indirect=True)


@pytest.fixture
def backbone(config):
    return load_backbone(config.backbone).eval()


@pytest.fixture
def long_clips(clips):
    """Clips that cross a 2 s chunk of Omni's tower and two windows of the small Audio Flamingo, also by one frame."""
    rng = np.random.default_rng(1)
    longer = [(0.1 * rng.standard_normal(n)).astype(np.float32) for n in (72_345, 64_001, 32_000)]
    return [*clips, *longer]


def laid_out(front, clips, *, block):
    """One row per clip, padded on the left: ids, audio mask, attention mask."""
    rows = [
        front.encode_row(QUESTION, [front.audio_length(len(c))], block=block, with_response=False).input_ids
        for c in clips
    ]
    width = max(map(len, rows))
    ids_BS = torch.tensor([[front.tokenizer.pad_token_id] * (width - len(row)) + row for row in rows])
    mask_BS = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    return ids_BS, ids_BS == front.audio_id, mask_BS


def test_an_outline_has_the_shapes_and_the_front_end_and_no_weights(backbone, config):
    outline = outline_backbone(config.backbone)
    full, empty = (dict(model.hf.named_parameters()) for model in (backbone, outline))
    assert {name: tensor.shape for name, tensor in empty.items()} == {n: tensor.shape for n, tensor in full.items()}
    assert {tensor.device.type for tensor in empty.values()} == {"meta"}
    assert outline.front.block_ids == backbone.front.block_ids
    assert outline.front.prompt_text(QUESTION) == backbone.front.prompt_text(QUESTION)


@pytest.mark.parametrize("block", [False, True])
@torch.inference_mode()
def test_logits_equal_those_of_transformers_on_full_windows(backbone, family, long_clips, block):
    ids_BS, audio_BS, mask_BS = laid_out(backbone.front, long_clips, block=block)
    theirs = backbone.hf(input_ids=ids_BS, attention_mask=mask_BS, **full_windows(family, backbone.front, long_clips))
    z_audio = backbone.encode_audio(backbone.front.features(long_clips))
    positions_BS = (mask_BS.cumsum(-1) - 1).clamp(min=0)
    hidden = backbone.decode(backbone.embed(ids_BS, audio_BS, z_audio), mask_BS, positions_BS=positions_BS)
    real = mask_BS.bool()
    assert torch.linalg.norm(theirs.logits[real]) > 1
    torch.testing.assert_close(backbone.lm_head(hidden)[real], theirs.logits[real], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", ["qwen2_audio", "audio_flamingo_3"], indirect=True)
def test_the_layout_is_that_of_the_models_own_processor(backbone, long_clips):
    front = backbone.front
    text = front.chat.apply_chat_template(
        [{"role": "user", "content": content_parts(QUESTION[0]["content"])}], add_generation_prompt=True, tokenize=False
    )
    for clip in long_clips:
        theirs = front.chat(text=[text], audio=[clip], sampling_rate=16_000, return_tensors="pt")["input_ids"][0]
        assert laid_out(front, [clip], block=False)[0][0].tolist() == theirs.tolist()


@pytest.mark.parametrize("family", ["qwen2_5_omni"], indirect=True)
def test_three_equal_axes_count_text_sound_and_block_alike(backbone, clips):
    ids_BS, _, mask_BS = laid_out(backbone.front, clips, block=True)
    theirs, _ = backbone.hf.model.get_rope_index(ids_BS, attention_mask=mask_BS)
    ours = mask_BS.cumsum(-1) - 1
    assert all(torch.equal(axis[mask_BS == 1], ours[mask_BS == 1]) for axis in theirs)


@torch.inference_mode()
def test_a_clip_sounds_the_same_beside_a_longer_one(backbone, long_clips):
    beside = backbone.encode_audio(backbone.front.features(long_clips))
    alone = [backbone.encode_audio(backbone.front.features([clip])) for clip in long_clips]
    torch.testing.assert_close(torch.cat(alone), beside, rtol=1e-4, atol=1e-5)


def test_audio_tokens_come_at_25_hz_and_stop_at_the_window(backbone, family):
    front, longest = backbone.front, WINDOW_SECONDS[family] * (6 if family == "audio_flamingo_3" else 1)
    assert front.window_samples == 16_000 * longest
    assert [front.audio_length(n) for n in (16_000, 160_000, 1_600_000)] == [25, 250, 25 * longest]


@pytest.mark.parametrize(
    ("family", "samples", "tokens"),
    [("qwen2_audio", 960, 1), ("qwen2_audio", 100, 0), ("qwen2_5_omni", 320, 0), ("audio_flamingo_3", 320, 0)],
    indirect=["family"],
)
def test_a_clip_that_upstream_would_take_the_wrong_way_is_refused(backbone, samples, tokens):
    says = f"{samples} samples .* too short: it has {tokens} audio tokens"
    with pytest.raises(ValueError, match=says):
        backbone.front.audio_length(samples)
    with pytest.raises(ValueError, match=says):
        backbone.front.features([np.zeros(samples, np.float32)])


def test_features_carry_one_length_per_clip(backbone, long_clips):
    audio = backbone.front.features(long_clips)
    assert audio.frames_N.tolist() == [-(-len(c) // 160) for c in long_clips]
    assert backbone.encode_audio(audio).shape == (int(audio.lengths_N.sum()), backbone.hidden_size)


def test_several_clips_of_a_message_are_marked_in_order(backbone, clips):
    front = backbone.front
    message = [{"role": "user", "content": "<audio>\n<audio>\nwhich note comes first"}]
    layout = front.encode_row(message, [4, 7], block=True, with_response=False)
    assert sum(layout.audio) == sum(layout.think) == 11
    assert layout.input_ids[-1] == front.block_ids.end


def test_block_rows_start_at_the_mean_and_take_spare_rows_where_there_are(backbone, family):
    ids = backbone.front.block_ids.as_list()
    weight = backbone.hf.get_input_embeddings().weight
    assert len(set(ids)) == 3
    assert max(ids) < weight.shape[0] == backbone.lm_head.weight.shape[0]
    assert (max(ids) == weight.shape[0] - 1) == (family == "audio_flamingo_3")
    torch.testing.assert_close(weight[ids[0]], weight[ids[1]])


def test_the_closing_token_starts_as_the_end_of_the_header_and_is_never_the_likelier_one(backbone):
    header = backbone.front.tokenizer.encode("\n")[-1]
    end = backbone.front.block_ids.end
    assert backbone.front.header_end_id == header
    rows, out = backbone.hf.get_input_embeddings().weight, backbone.lm_head.weight
    torch.testing.assert_close(rows[end], rows[header])
    assert not torch.equal(out[end], out[header])


@ONE
def test_where_input_and_output_share_a_matrix_the_closing_token_does_not_become_the_header(backbone):
    front, hf = backbone.front, backbone.hf
    hf.lm_head.weight = hf.get_input_embeddings().weight
    ids = add_block_tokens(hf, front.tokenizer, front.header_end_id)
    rows = hf.get_input_embeddings().weight
    torch.testing.assert_close(rows[ids.end], rows[ids.start])


@ONE
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


@pytest.mark.parametrize("family", ["qwen2_5_omni"], indirect=True)
def test_the_thinker_opens_from_a_checkpoint_of_the_whole_model(backbone, config, tmp_path):
    """As published: the whole model's configuration, every weight under ``thinker.``, the template beside the rest."""
    shutil.copytree(config.backbone.weights, tmp_path, dirs_exist_ok=True)
    weights = load_file(tmp_path / "model.safetensors")
    save_file({f"thinker.{name}": value for name, value in weights.items()}, tmp_path / "model.safetensors")
    thinker = json.loads((tmp_path / "config.json").read_text())
    whole = {"model_type": "qwen2_5_omni", "thinker_config": thinker, "enable_audio_output": False}
    (tmp_path / "config.json").write_text(json.dumps(whole))
    template = (tmp_path / "chat_template.jinja").read_text()
    (tmp_path / "chat_template.jinja").unlink()
    (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    whole = load_backbone(BackboneConfig(family="qwen2_5_omni", weights=str(tmp_path)))
    torch.testing.assert_close(whole.hf.state_dict(), backbone.hf.state_dict())
    assert whole.front.prompt_text(QUESTION) == backbone.front.prompt_text(QUESTION)
