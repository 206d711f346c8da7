"""What the three PyTorch teachers promise: lengths, times, silence, and clips that do not touch each other."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coat_ray.config import ExpertConfig
from coat_ray.experts import panns, waveform
from coat_ray.experts.base import ClassifierHead, Expert
from coat_ray.experts.registry import load_expert
from coat_ray.experts.spidr import OFFICIAL, Spidr

NAMES = ("spidr", "panns", "emotion2vec")


@pytest.fixture(scope="module", params=NAMES)
def expert(request) -> Expert:
    return load_expert(ExpertConfig(model=request.param))


def noise(num_samples: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(num_samples)).astype(np.float32)


def length_of(expert: Expert, num_samples: int) -> int:
    return panns.num_segments(num_samples) if expert.spec.name == "panns" else waveform.num_frames(num_samples)


@pytest.mark.parametrize("seconds", [0.311, 0.62, 1.0, 1.337, 2.6])
def test_frames_follow_the_length_formula(expert, seconds):
    clip = noise(int(seconds * expert.spec.sample_rate))
    (frames,) = expert.encode([clip])
    assert frames.shape == (length_of(expert, len(clip)), expert.spec.width)
    assert frames.dtype == np.float32


def test_the_shortest_clip_gives_one_frame(expert):
    (frames,) = expert.encode([noise(expert.spec.min_samples)])
    assert len(frames) == 1


def test_a_shorter_clip_is_refused_by_its_place(expert):
    clips = [noise(expert.spec.sample_rate), noise(expert.spec.min_samples - 1)]
    with pytest.raises(ValueError, match=rf"{expert.spec.name}: clip 1 has {expert.spec.min_samples - 1} samples"):
        expert.encode(clips)


def test_a_clip_that_is_not_finite_is_refused(expert):
    clip = noise(expert.spec.sample_rate)
    clip[7] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        expert.encode([clip])


def test_silence_gives_finite_frames(expert):
    (frames,) = expert.encode([np.zeros(expert.spec.sample_rate, np.float32)])
    assert np.isfinite(frames).all()


def test_a_clip_does_not_depend_on_its_batch_mates(expert):
    rate = expert.spec.sample_rate
    clips = [noise(n, seed) for seed, n in enumerate((rate, 2 * rate, rate, rate + 1, 2 * rate, rate))]
    together = expert.encode(clips)
    for clip, frames in zip(clips, together, strict=True):
        (alone,) = expert.encode([clip])
        assert frames.shape == alone.shape
        assert np.abs(frames - alone).max() <= 1e-5 * max(1.0, np.abs(alone).max())


def test_encoding_twice_gives_the_same(expert):
    clip = noise(expert.spec.sample_rate)
    np.testing.assert_array_equal(expert.encode([clip])[0], expert.encode([clip])[0])


def test_the_head_reads_the_frames_as_the_named_classes(expert):
    assert isinstance(expert.head, ClassifierHead)
    (frames,) = expert.encode([noise(expert.spec.sample_rate)])
    assert expert.head(torch.from_numpy(frames)).shape == (len(frames), len(expert.spec.labels))
    assert not any(p.requires_grad for p in expert.head.parameters())


def test_the_waveform_encoders_ignore_level_and_offset():
    expert = load_expert(ExpertConfig(model="spidr"))
    clip = noise(16_000)
    plain, changed = expert.encode([clip, 0.5 * clip + 0.1])
    assert np.abs(plain - changed).max() <= 1e-3 * np.abs(plain).max()


@given(st.integers(waveform.MIN_SAMPLES, 480_000))
def test_the_waveform_length_is_that_of_seven_convolutions(num_samples):
    length = num_samples
    for kernel, stride in zip(waveform.KERNELS, waveform.STRIDES, strict=True):
        length = (length - kernel) // stride + 1
    assert waveform.num_frames(num_samples) == length


@pytest.mark.parametrize("frame", [0, 10, 40])
def test_the_waveform_frame_centre_is_where_its_receptive_field_lies(frame):
    encoder = Spidr.load().encoder
    wave = torch.from_numpy(noise(16_000))[None].requires_grad_()
    encoder.feature_extractor(wave)[0, frame].sum().backward()
    (touched,) = torch.nonzero(wave.grad[0], as_tuple=True)
    centre = (touched.min() + touched.max() + 1) / 2 / waveform.SAMPLE_RATE
    assert centre.item() == pytest.approx(waveform.FIRST_CENTER + frame / waveform.RATE, abs=1e-4)


def test_the_tagger_frame_centre_is_the_middle_of_its_thirty_two_mel_frames():
    expert = load_expert(ExpertConfig(model="panns"))
    mel_times = np.arange(panns.POOLING) * panns.HOP / panns.SAMPLE_RATE
    assert expert.spec.first_center == pytest.approx(mel_times.mean())
    assert 1 / expert.spec.rate == pytest.approx(0.32)


def test_a_click_moves_the_local_feature_at_its_time():
    encoder = Spidr.load().encoder
    quiet = noise(16_000) * 0.01
    clicked = quiet.copy()
    clicked[8000] = 1.0
    with torch.inference_mode():
        plain, moved = encoder.feature_extractor(torch.from_numpy(np.stack([quiet, clicked])))
    frame = int((plain - moved).abs().sum(-1).argmax())
    assert waveform.FIRST_CENTER + frame / waveform.RATE == pytest.approx(0.5, abs=0.0125)


@pytest.mark.parametrize(
    ("name", "first", "second"), [("spidr", 0.5, 2.5), ("emotion2vec", 0.5, 2.5), ("panns", 1.0, 4.0)]
)
def test_two_clicks_are_as_far_apart_in_the_frames_as_in_the_clip(name, first, second):
    expert = load_expert(ExpertConfig(model=name))
    rate = expert.spec.sample_rate
    quiet = noise(int((second + first) * rate)) * 0.01
    clicked = quiet.copy()
    for at in (first, second):
        clicked[int(at * rate) : int(at * rate) + rate // 1000] = 0.5
    plain, moved = _local(expert, np.stack([quiet, clicked]))
    change = (plain - moved).abs().sum(-1)
    middle = len(change) // 2
    found = [int(change[:middle].argmax()), middle + int(change[middle:].argmax())]
    times = [expert.spec.first_center + frame / expert.spec.rate for frame in found]
    assert times == pytest.approx([first, second], abs=0.5 / expert.spec.rate + 0.001)


def _local(expert: Expert, waves: np.ndarray) -> torch.Tensor:
    """Frames before attention, (2, L, C), so that a change stays where it is; the tagger has no attention."""
    with torch.inference_mode():
        if expert.spec.name == "emotion2vec":
            return expert.encoder.audio.local_encoder(torch.from_numpy(waves)).transpose(1, 2)
        if expert.spec.name == "spidr":
            return expert.encoder.feature_extractor(torch.from_numpy(waves))
        return expert.encoder(torch.from_numpy(waves))


def test_the_default_layer_of_official_spidr_is_its_authors():
    assert OFFICIAL.layer == 6
    assert Spidr.official_spec().width == 768


def test_the_mel_matrices_are_recomputed_with_the_window_of_a_periodic_hann():
    stft = panns.Stft()
    assert stft.conv_real.weight[0, 0].sum().item() == pytest.approx(512.0, rel=1e-5)
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(32_000) / 32_000)[None]
    assert stft(tone)[0, 50].argmax().item() == 32  # 1000 Hz / (32000 / 1024)


def test_another_layer_is_another_teacher():
    default, other = Spidr.load(), Spidr.load(layer=1)
    assert default.fingerprint != other.fingerprint
    assert other.head is None
    assert other.spec.labels == ()
    clip = noise(16_000)
    assert not np.allclose(default.encode([clip])[0], other.encode([clip])[0])
    with pytest.raises(ValueError, match="layer 99 does not exist"):
        Spidr.load(layer=99)
