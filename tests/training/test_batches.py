"""From rows to tensors with the real front end of a small Qwen2-Audio and a real target store."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch

from coat_ray.audio import AudioLimits, clip_id, load_audio
from coat_ray.config import AugmentConfig
from coat_ray.corpus.manifest import Manifest, Message, Row
from coat_ray.experts.base import ExpertSpec
from coat_ray.model.backbones.qwen2_audio import Qwen2AudioBackbone, Qwen2AudioFrontEnd
from coat_ray.model.pretraining.layout import BaseSize, build_base, train_tokenizer
from coat_ray.targets.align import align, block_length
from coat_ray.targets.store import TargetDataset, TargetStore
from coat_ray.training.batches import ByteCache, Clip, Collator

RATE = 16_000
SPEECH = ExpertSpec("spidr", RATE, 50.0, 0.0125, 3, "mse", "MIT", True, "test")


@pytest.fixture(scope="module")
def front() -> Qwen2AudioFrontEnd:
    tokenizer = train_tokenizer(["which note comes first?", "the first note is c sharp"], 300)
    front = Qwen2AudioBackbone(*build_base(tokenizer, BaseSize(hidden=32, ffn=32, heads=1), 0)).front
    front.extractor.least_samples = 0  # as the published models
    return front


def row(name: str, *clips: str, question: str = "which note comes first?", answer: str = "c sharp") -> Row:
    asked = "".join(["<audio>\n"] * len(clips)) + question
    turns = (Message(role="user", content=asked), Message(role="assistant", content=answer))
    return Row(id=name, messages=turns, audios=clips)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    for name, seconds in [("short", 0.5), ("long", 1.0), ("new", 0.7)]:
        soundfile.write(folder / f"{name}.wav", rng.uniform(-0.5, 0.5, int(seconds * RATE)), RATE)
    (folder / "broken.wav").write_bytes(b"RIFF but not audio")
    rows = (
        row("one", "short.wav"),
        row("two", "long.wav", "short.wav", answer="the first note is c sharp"),
        row("unknown clip", "new.wav"),
        row("text"),
        row("broken", "broken.wav"),
    )
    return Manifest(rows, folder)


def frames(length: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((length, 3)).astype(np.float16)


@pytest.fixture(scope="module")
def stored(manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> TargetDataset:
    dataset = TargetStore(tmp_path_factory.mktemp("targets")).open_or_create(SPEECH, "expert", None, "native")
    ids = [clip_id(load_audio(manifest.folder / f"{name}.wav", RATE)) for name in ("short", "long")]
    dataset.write([(ids[0], frames(24, 0)), (ids[1], frames(49, 1))])
    return dataset


@pytest.fixture
def collator(manifest: Manifest, front: Qwen2AudioFrontEnd, stored: TargetDataset) -> Collator:
    return Collator(manifest, front, {"speech": stored}, block=True)


def test_positions_of_clips_block_and_targets_agree(collator: Collator, front: Qwen2AudioFrontEnd) -> None:
    batch = collator(["one", "two"], ["speech"])
    lengths = [front.audio_length(int(s * RATE)) for s in (0.5, 1.0, 0.5)]
    assert batch.lengths_N.tolist() == lengths
    assert batch.features_NMF.shape[0] == len(batch.frames_N) == 3
    assert batch.audio_mask_BS.sum(1).tolist() == batch.think_mask_BS.sum(1).tolist() == [lengths[0], sum(lengths[1:])]
    assert batch.targets["speech"].shape == (sum(lengths), 3)
    assert batch.target_masks["speech"].all()
    assert batch.target_masks["recon"].tolist() == [True] * sum(lengths)


def test_targets_are_put_on_the_grid_of_the_block_clip_by_clip(collator: Collator) -> None:
    batch = collator(["two"], ["speech"])
    long, short = batch.targets["speech"].split(batch.lengths_N.tolist())
    for found, native in ((long, frames(49, 1)), (short, frames(24, 0))):
        expected = align(native, SPEECH.rate, SPEECH.first_center, len(found))
        torch.testing.assert_close(found, torch.from_numpy(expected), rtol=1e-3, atol=1e-3)


def test_the_silence_behind_a_short_clip_has_positions_but_no_targets(
    manifest: Manifest, stored: TargetDataset, front: Qwen2AudioFrontEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_it_is = Collator(manifest, front, {"speech": stored}, block=True)(["one", "two"], ["speech"])
    monkeypatch.setattr(front.extractor, "least_samples", int(0.8 * RATE))
    filled = Collator(manifest, front, {"speech": stored}, block=True)(["one", "two"], ["speech"])
    short, long = block_length(int(0.5 * RATE)), block_length(RATE)
    least = block_length(int(0.8 * RATE))
    assert as_it_is.lengths_N.tolist() == [short, long, short]
    assert filled.lengths_N.tolist() == [least, long, least]
    assert filled.think_mask_BS.sum(1).tolist() == [least, long + least]
    for role in ("speech", "recon"):
        known = [mask.sum().item() for mask in filled.target_masks[role].split([least, long, least])]
        assert known == [short, long, short]
    sounding = filled.targets["speech"][filled.target_masks["speech"]]
    torch.testing.assert_close(sounding, as_it_is.targets["speech"])
    assert not filled.targets["speech"][~filled.target_masks["speech"]].any()


def test_the_response_is_the_answer_and_the_end_of_the_turn(collator: Collator, front: Qwen2AudioFrontEnd) -> None:
    batch = collator(["one", "two"], [])
    for number, answer in enumerate(["c sharp", "the first note is c sharp"]):
        ids = batch.input_ids_BS[number][batch.response_mask_BS[number]].tolist()
        assert ids == [*front.tokenizer.encode(answer), front.end_of_turn_id]
    assert batch.attention_mask_BS.sum(1).tolist()[1] == batch.input_ids_BS.shape[1]
    assert not (batch.response_mask_BS & ~batch.attention_mask_BS.bool()).any()


def test_a_clip_without_targets_is_masked_and_said_aloud(collator: Collator, caplog: pytest.LogCaptureFixture) -> None:
    batch = collator(["one", "unknown clip"], ["speech"])
    one, new = batch.target_masks["speech"].split(batch.lengths_N.tolist())
    assert one.all()
    assert not new.any()
    assert "training goes on without a target" in caplog.text


def test_a_batch_of_text_still_runs_tower_and_heads_but_teaches_them_nothing(collator: Collator) -> None:
    batch = collator(["text"], ["speech"])
    assert batch.row_ids == ["text"]
    assert batch.think_mask_BS.sum(1).tolist() == [0, int(batch.lengths_N.sum())]
    assert batch.response_mask_BS.sum(1).tolist()[1] == 0
    assert not batch.target_masks["speech"].any()
    assert not batch.target_masks["recon"].any()


def test_without_a_block_there_is_nothing_to_think_with(
    manifest: Manifest, front: Qwen2AudioFrontEnd, stored: TargetDataset
) -> None:
    batch = Collator(manifest, front, {"speech": stored}, block=False)(["one"], [])
    assert not batch.think_mask_BS.any()
    assert batch.audio_mask_BS.any()
    assert batch.targets == {}


def test_a_row_does_not_depend_on_its_neighbours(collator: Collator) -> None:
    alone, beside = collator(["one"], ["speech"]), collator(["one", "two"], ["speech"])
    width, length = alone.input_ids_BS.shape[1], int(alone.lengths_N[0])
    assert torch.equal(alone.input_ids_BS[0], beside.input_ids_BS[0, :width])
    assert torch.equal(alone.targets["speech"], beside.targets["speech"][:length])


@pytest.mark.parametrize(("name", "says"), [("broken", "row 'broken': "), ("one", "row 'one': .* limit of 0.4 s")])
def test_a_clip_that_cannot_be_used_names_its_row(
    manifest: Manifest, front: Qwen2AudioFrontEnd, name: str, says: str
) -> None:
    collator = Collator(manifest, front, {}, block=True, limits=AudioLimits(max_seconds=0.4))
    with pytest.raises(ValueError, match=says):
        collator([name], [])


def test_a_clip_too_short_for_the_model_names_its_row(manifest: Manifest, front: Qwen2AudioFrontEnd) -> None:
    collator = Collator(manifest, front, {}, block=True)
    collator._decode = lambda _: Clip(np.zeros(900, np.float32), "short")  # type: ignore[method-assign]
    with pytest.raises(ValueError, match=r"row 'one': a clip of 900 samples .* too short"):
        collator(["one"], [])


def test_the_cache_forgets_what_was_not_used_for_longest() -> None:
    cache: ByteCache[bytes] = ByteCache(10, len)
    made: list[str] = []

    def get(key: str) -> bytes:
        return cache.get(key, lambda: made.append(key) or b"1234")

    for key in ("a", "b", "a", "c", "a", "b"):
        get(key)
    assert made == ["a", "b", "c", "b"]


def test_augmentation_changes_what_is_heard_by_step_and_row_and_nothing_else(
    manifest: Manifest, front: Qwen2AudioFrontEnd, stored: TargetDataset
) -> None:
    settings = AugmentConfig(gain_db=6, noise_probability=1, time_masks=1, frequency_masks=1)
    plain = Collator(manifest, front, {"speech": stored}, block=True)
    augmented = Collator(manifest, front, {"speech": stored}, block=True, augment=settings)
    clean, first = plain(["one", "two"], ["speech"], 3), augmented(["one", "two"], ["speech"], 3)
    assert not torch.equal(clean.features_NMF, first.features_NMF)
    assert torch.equal(clean.input_ids_BS, first.input_ids_BS)
    assert torch.equal(clean.targets["speech"], first.targets["speech"])
    again, later = augmented(["one", "two"], ["speech"], 3), augmented(["one", "two"], ["speech"], 4)
    assert torch.equal(first.features_NMF, again.features_NMF)
    assert not torch.equal(first.features_NMF, later.features_NMF)
    alone = augmented(["two"], ["speech"], 3)
    assert torch.equal(alone.features_NMF, first.features_NMF[1:])


def test_a_batch_without_rows_is_the_silent_one(collator: Collator) -> None:
    batch = collator([], ["speech"], 1)
    assert batch.row_ids == []
    assert (batch.num_response_tokens(), batch.num_positions("speech"), batch.num_positions("recon")) == (0, 0, 0)
    assert batch.think_mask_BS.any()
