"""The modules at official size carry the keys and shapes of the published checkpoints."""

import pytest
import torch

from coat_ray.experts import emotion2vec, panns, spidr
from coat_ray.experts.emotion2vec_plus import Emotion2vecPlus
from coat_ray.experts.emotion2vec_sizes import Emotion2vecConfig, sizes_of
from coat_ray.experts.weights import WeightsError, load_strict

Rows = list[tuple[str, range, tuple[int, ...]]]

ONE = range(1)
WAVE_CONVS = ((0, (512, 1, 10)), *((i, (512, 512, 3)) for i in range(1, 5)), (5, (512, 512, 2)), (6, (512, 512, 2)))

SPIDR: Rows = [
    *((f"feature_extractor.conv_layers.{i}.conv.weight", ONE, shape) for i, shape in WAVE_CONVS),
    ("feature_extractor.conv_layers.{}.layer_norm.weight", range(7), (512,)),
    ("feature_extractor.conv_layers.{}.layer_norm.bias", range(7), (512,)),
    ("feature_projection.layer_norm.weight", ONE, (512,)),
    ("feature_projection.layer_norm.bias", ONE, (512,)),
    ("feature_projection.projection.weight", ONE, (768, 512)),
    ("feature_projection.projection.bias", ONE, (768,)),
    ("student.pos_conv_embed.convs.{}.weight", range(5), (768, 48, 19)),
    ("student.pos_conv_embed.convs.{}.bias", range(5), (768,)),
    ("student.layer_norm.weight", ONE, (768,)),
    ("student.layer_norm.bias", ONE, (768,)),
    ("student.layers.{}.attention.qkv.weight", range(12), (2304, 768)),
    ("student.layers.{}.attention.proj.weight", range(12), (768, 768)),
    ("student.layers.{}.attention.proj.bias", range(12), (768,)),
    ("student.layers.{}.layer_norm.weight", range(12), (768,)),
    ("student.layers.{}.layer_norm.bias", range(12), (768,)),
    ("student.layers.{}.feed_forward.intermediate_dense.weight", range(12), (3072, 768)),
    ("student.layers.{}.feed_forward.intermediate_dense.bias", range(12), (3072,)),
    ("student.layers.{}.feed_forward.output_dense.weight", range(12), (768, 3072)),
    ("student.layers.{}.feed_forward.output_dense.bias", range(12), (768,)),
    ("student.layers.{}.final_layer_norm.weight", range(12), (768,)),
    ("student.layers.{}.final_layer_norm.bias", range(12), (768,)),
]


def block(width: int) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return (
        *((f"norm{n}.{key}", (width,)) for n in (1, 2) for key in ("weight", "bias")),
        ("attn.qkv.weight", (3 * width, width)),
        ("attn.qkv.bias", (3 * width,)),
        ("attn.proj.weight", (width, width)),
        ("attn.proj.bias", (width,)),
        ("mlp.fc1.weight", (4 * width, width)),
        ("mlp.fc1.bias", (4 * width,)),
        ("mlp.fc2.weight", (width, 4 * width)),
        ("mlp.fc2.bias", (width,)),
    )


AUDIO = "modality_encoders.AUDIO."


def emotion2vec_rows(width: int, heads: int, prenet: int, depth: int) -> Rows:
    return [
        *((f"{AUDIO}local_encoder.conv_layers.{i}.0.weight", ONE, shape) for i, shape in WAVE_CONVS),
        (AUDIO + "local_encoder.conv_layers.{}.2.1.weight", range(7), (512,)),
        (AUDIO + "local_encoder.conv_layers.{}.2.1.bias", range(7), (512,)),
        (AUDIO + "project_features.1.weight", ONE, (512,)),
        (AUDIO + "project_features.1.bias", ONE, (512,)),
        (AUDIO + "project_features.2.weight", ONE, (width, 512)),
        (AUDIO + "project_features.2.bias", ONE, (width,)),
        (AUDIO + "relative_positional_encoder.{}.0.weight", range(1, 6), (width, width // 16, 19)),
        (AUDIO + "relative_positional_encoder.{}.0.bias", range(1, 6), (width,)),
        (AUDIO + "context_encoder.norm.weight", ONE, (width,)),
        (AUDIO + "context_encoder.norm.bias", ONE, (width,)),
        (AUDIO + "extra_tokens", ONE, (1, 10, width)),
        (AUDIO + "alibi_scale", ONE, (1, 1, heads, 1, 1)),
        *((f"{AUDIO}context_encoder.blocks.{{}}.{key}", range(prenet), shape) for key, shape in block(width)),
        *((f"blocks.{{}}.{key}", range(depth), shape) for key, shape in block(width)),
    ]


CHANNELS = (1, 64, 128, 256, 512, 1024, 2048)
NORM = ("weight", "bias", "running_mean", "running_var")
PANNS: Rows = [
    ("spectrogram_extractor.stft.conv_real.weight", ONE, (513, 1, 1024)),
    ("spectrogram_extractor.stft.conv_imag.weight", ONE, (513, 1, 1024)),
    ("logmel_extractor.melW", ONE, (513, 64)),
    *((f"bn0.{key}", ONE, (64,)) for key in NORM),
    ("bn0.num_batches_tracked", ONE, ()),
    *((f"conv_block{n}.conv1.weight", ONE, (CHANNELS[n], CHANNELS[n - 1], 3, 3)) for n in range(1, 7)),
    *((f"conv_block{n}.conv2.weight", ONE, (CHANNELS[n], CHANNELS[n], 3, 3)) for n in range(1, 7)),
    *((f"conv_block{n}.bn{m}.{key}", ONE, (CHANNELS[n],)) for n in range(1, 7) for m in (1, 2) for key in NORM),
    *((f"conv_block{n}.bn{m}.num_batches_tracked", ONE, ()) for n in range(1, 7) for m in (1, 2)),
    ("fc1.weight", ONE, (2048, 2048)),
    ("fc1.bias", ONE, (2048,)),
    ("fc_audioset.weight", ONE, (527, 2048)),
    ("fc_audioset.bias", ONE, (527,)),
]


def layout(rows: Rows) -> dict[str, tuple[int, ...]]:
    return {pattern.format(n): shape for pattern, numbers, shape in rows for n in numbers}


def layout_of(module: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in module.state_dict().items()}


def test_spidr_has_the_official_layout():
    with torch.device("meta"):
        encoder = spidr.SpidrEncoder(spidr.OFFICIAL)
    assert layout_of(encoder) == layout(SPIDR)
    assert sum(p.numel() for p in encoder.parameters()) == 93_135_872


def test_emotion2vec_has_the_official_layout():
    with torch.device("meta"):
        encoder = emotion2vec.Emotion2vecEncoder(emotion2vec.OFFICIAL)
    assert layout_of(encoder) == layout(emotion2vec_rows(width=768, heads=12, prenet=4, depth=8))


@pytest.mark.parametrize("sizes", [(768, 12, 4, 8), (1024, 16, 8, 16), (1024, 16, 4, 8)])
def test_emotion2vec_of_any_published_width_is_built_from_its_checkpoint(sizes):
    keys = layout(emotion2vec_rows(*sizes))
    with torch.device("meta"):
        config = sizes_of({key: torch.empty(shape) for key, shape in keys.items()})
        encoder = emotion2vec.Emotion2vecEncoder(config)
    assert (config.embed_dim, config.num_heads, config.prenet_depth, config.depth) == sizes
    assert layout_of(encoder) == keys


@pytest.mark.parametrize("broken", ["nothing", "another rank"])
def test_a_state_that_is_not_emotion2vec_is_refused(broken):
    with torch.device("meta"):
        state = {} if broken == "nothing" else {k: torch.empty(3) for k in layout(emotion2vec_rows(64, 4, 1, 2))}
    with pytest.raises(WeightsError, match="not of emotion2vec"):
        sizes_of(state)


def test_a_plus_checkpoint_brings_its_read_out_of_nine_emotions(tmp_path):
    small = Emotion2vecConfig(conv_dim=16, embed_dim=32, num_heads=4, prenet_depth=1, depth=2)
    state = {f"d2v_model.{k}": v for k, v in emotion2vec.Emotion2vecEncoder(small).state_dict().items()}
    state |= {"proj.weight": torch.ones(9, 32), "proj.bias": torch.zeros(9)}
    torch.save({"model": state}, tmp_path / "plus.pt")
    expert = Emotion2vecPlus.load(str(tmp_path / "plus.pt"))
    assert expert.spec.name == "emotion2vec_plus"
    assert expert.spec.labels == Emotion2vecPlus.official_spec().labels
    assert expert.spec.labels[0] == "angry"
    assert expert.head.classes == 9
    assert Emotion2vecPlus.load(str(tmp_path / "plus.pt"), layer=1).head is None


def test_panns_has_the_official_layout():
    assert layout_of(panns.PannsEncoder(panns.OFFICIAL)) == layout(PANNS)


def test_spidr_drops_what_only_training_needs():
    encoder = spidr.SpidrEncoder(spidr.EMBEDDED)
    training = (
        "teacher.layer_norm.weight",
        "codebooks.0.codebook",
        "heads.3.0.weight",
        "mask_embedding",
        "current_step",
    )
    state = encoder.state_dict() | dict.fromkeys(training, torch.zeros(1))
    load_strict(encoder, state, spidr.TRAINING_ONLY, origin="here")


def test_emotion2vec_drops_the_decoder():
    encoder = emotion2vec.Emotion2vecEncoder(emotion2vec.EMBEDDED)
    state = encoder.state_dict() | {"modality_encoders.AUDIO.decoder.proj.weight": torch.zeros(1)}
    load_strict(encoder, state, emotion2vec.TRAINING_ONLY, origin="here")


def test_alibi_slopes_of_twelve_heads_interleave_two_series():
    slopes = emotion2vec.alibi_slopes(12)
    assert slopes[:8] == [2.0**-n for n in range(1, 9)]
    assert slopes[8:] == pytest.approx([2.0**-0.5, 2.0**-1.5, 2.0**-2.5, 2.0**-3.5])


def test_alibi_falls_with_distance_on_both_sides():
    bias = emotion2vec.alibi(num_heads=4, length=6)
    torch.testing.assert_close(bias, bias.transpose(1, 2))
    torch.testing.assert_close(bias[0, 2], torch.tensor([-0.5, -0.25, 0.0, -0.25, -0.5, -0.75]))
