"""What the actors do, without Ray: decode, encode, and turn a bad clip into a row with a reason."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from coat_ray.audio import DEFAULT_LIMITS, clip_id, load_audio
from coat_ray.config import ExpertConfig
from coat_ray.experts.registry import load_expert
from coat_ray.targets import decode
from coat_ray.targets.align import align, block_length
from coat_ray.targets.decode import Decoder, work_table
from coat_ray.targets.encode import open_datasets
from coat_ray.targets.plan import Claims, ClipWork
from coat_ray.targets.pool import Clip, ExpertPool, Filler
from coat_ray.targets.store import TargetStore

from .loudness import Trouble, load

EXPERTS = {"low": ExpertConfig(model="loudness16000"), "high": ExpertConfig(model="loudness32000", alignment="native")}


@pytest.fixture
def opened(tmp_path):
    return open_datasets(EXPERTS, TargetStore(tmp_path / "targets"), load)


def decoder_for(tasks) -> Decoder:
    claims = Claims({task.name: set() for task in tasks})
    return Decoder({task.name: task.sample_rate for task in tasks}, DEFAULT_LIMITS, claims.claim)


def table_of(*uris: str) -> pa.Table:
    return work_table([ClipWork(uri, 1, 1, 1.0) for uri in uris])


def pool_for(tasks, loader=load, **options) -> ExpertPool:
    return ExpertPool(tasks, loader, device="cpu", batch_seconds=8, **options)


def test_a_clip_is_decoded_at_each_rate_that_an_expert_takes(opened, make_clip):
    _, tasks = opened
    uri = make_clip("a.wav")
    row = decoder_for(tasks)(table_of(uri)).to_pylist()[0]
    at_16k = load_audio(uri, 16_000)
    assert (row["clip_id"], row["num_samples"]) == (clip_id(at_16k), len(at_16k))
    np.testing.assert_array_equal(row["wave:16000"], at_16k)
    np.testing.assert_array_equal(row["wave:32000"], load_audio(uri, 32_000))


def test_a_clip_is_decoded_once_for_all_rates(opened, make_clip, monkeypatch):
    _, tasks = opened
    decoded = []
    plain = decode.decode_audio
    monkeypatch.setattr(decode, "decode_audio", lambda uri, limits: decoded.append(uri) or plain(uri, limits))
    uri = make_clip("a.wav", rate=44_100)
    row = decoder_for(tasks)(table_of(uri)).to_pylist()[0]
    assert decoded == [uri]
    for rate in (16_000, 32_000):
        np.testing.assert_array_equal(row[f"wave:{rate}"], load_audio(uri, rate))


def test_only_the_rates_of_what_a_known_clip_lacks_are_decoded(opened, make_clip):
    _, tasks = opened
    uri = make_clip("a.wav")
    known = ClipWork(uri, 1, 1, 1.0, clip_id(load_audio(uri, 16_000)), (tasks[1].name,))
    row = decoder_for(tasks)(work_table([known])).to_pylist()[0]
    assert row["wave:16000"] is None
    assert len(row["wave:32000"]) == 16_000


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "missing"), (b"", "empty"), (b"this is no sound at all" * 99, "not_audio")]
)
def test_a_file_that_cannot_be_decoded_becomes_a_row_with_its_reason(opened, make_clip, tmp_path, content, reason):
    _, tasks = opened
    bad = tmp_path / "bad.wav"
    if content is not None:
        bad.write_bytes(content)
    rows = decoder_for(tasks)(table_of(make_clip("a.wav"), str(bad))).to_pylist()
    assert [row["reason"] for row in rows] == [None, reason]
    assert str(bad) in rows[1]["message"]
    assert rows[1]["wanted"] == []


def test_a_file_that_changed_since_it_was_planned_is_not_stored_under_the_old_id(opened, make_clip):
    _, tasks = opened
    stale = ClipWork(make_clip("a.wav"), 1, 1, 1.0, "0" * 64, (tasks[0].name,))
    row = decoder_for(tasks)(work_table([stale])).to_pylist()[0]
    assert (row["clip_id"], row["reason"], row["wanted"]) == (None, "crashed", [])


def test_frames_land_on_the_block_or_stay_native(opened, make_clip):
    datasets, tasks = opened
    uri = make_clip("a.wav", seconds=0.7)
    pool_for(tasks, decoder=decoder_for(tasks))(table_of(uri))
    signal = load_audio(uri, 16_000)
    expected = align(load(EXPERTS["low"]).encode([signal])[0], 50.0, 0.010, block_length(len(signal)))
    np.testing.assert_array_equal(datasets["low"].read(clip_id(signal)), expected.astype(np.float16))
    assert datasets["high"].read(clip_id(signal)).shape == (35, 2)


def test_the_outcome_names_each_state_and_carries_no_waveforms(opened, make_clip):
    _, tasks = opened
    out = pool_for(tasks, decoder=decoder_for(tasks))(table_of(make_clip("a.wav")))
    assert not [name for name in out.column_names if name.startswith("wave:")]
    row = out.to_pylist()[0]
    assert [row[f"state:{task.name}"] for task in tasks] == ["stored", "stored"]
    assert all(row[f"seconds:{task.name}"] > 0 for task in tasks)


def test_pools_in_a_row_pass_on_what_the_next_one_needs(opened, make_clip):
    datasets, tasks = opened
    first = pool_for(tasks[:1], keep_rates=[32_000])
    table = first(decoder_for(tasks)(table_of(make_clip("a.wav"))))
    assert [name for name in table.column_names if name.startswith("wave:")] == ["wave:32000"]
    pool_for(tasks[1:])(table)
    assert len(datasets["low"]) == len(datasets["high"]) == 1


def test_one_bad_clip_costs_only_itself(opened, make_clip):
    datasets, tasks = opened
    uris = [make_clip(f"{i}.wav", hertz=100 * (i + 1), peak=1.0 if i == 2 else 0.5) for i in range(5)]
    out = pool_for(tasks[:1], decoder=decoder_for(tasks))(table_of(*uris))
    states = out.column(f"state:{tasks[0].name}").to_pylist()
    assert states == ["stored", "stored", "refused", "stored", "stored"]
    (row,) = datasets["low"].quarantine.rows()
    assert (row.uri, row.reason, row.message) == (uris[2], "refused", "ValueError: a clip is too loud")
    assert len(datasets["low"]) == 4


def test_a_clip_shorter_than_the_expert_takes_is_quarantined_before_it_runs(opened, make_clip):
    def load_slow(config: ExpertConfig, device: str = "cpu"):
        expert = load(config, device)
        expert.spec = replace(expert.spec, min_samples=expert.spec.sample_rate)
        return expert

    datasets, tasks = opened
    out = pool_for(tasks[:1], load_slow, decoder=decoder_for(tasks))(table_of(make_clip("a.wav", seconds=0.9)))
    assert out.column(f"state:{tasks[0].name}").to_pylist() == ["too_short"]
    assert len(datasets["low"]) == 0


def test_a_clip_too_short_for_a_block_is_no_clip(opened, make_clip):
    _, tasks = opened
    long, short = decoder_for(tasks)(
        table_of(make_clip("a.wav", seconds=0.1), make_clip("b.wav", seconds=0.06))
    ).to_pylist()
    assert (long["reason"], long["num_samples"]) == (None, 1600)
    assert (short["reason"], short["clip_id"]) == ("too_short", None)


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        (np.full((4, 2), np.nan), "not_finite"),
        (np.full((4, 2), 70_000.0), "not_finite"),
        (np.zeros((4, 3)), "bad_frames"),
        (np.zeros((0, 2)), "bad_frames"),
    ],
)
def test_frames_that_make_no_sense_are_not_stored(opened, make_clip, frames, reason):
    datasets, tasks = opened

    def loader(config, device):
        expert = load(config)
        expert.encode = lambda clips: [frames.astype(np.float32) for _ in clips]
        return expert

    out = pool_for(tasks[:1], loader, decoder=decoder_for(tasks))(table_of(make_clip("a.wav")))
    assert out.column(f"state:{tasks[0].name}").to_pylist() == [reason]
    assert len(datasets["low"]) == 0


def test_an_error_that_is_not_about_the_clip_is_told_apart(opened, make_clip, tmp_path):
    _, tasks = opened
    pool = pool_for(tasks[:1], Trouble("raises", tmp_path / "marker"), decoder=decoder_for(tasks))
    out = pool(table_of(make_clip("a.wav")))
    assert out.column(f"state:{tasks[0].name}").to_pylist() == ["crashed"]


def test_clips_are_encoded_in_batches_of_similar_length(opened):
    datasets, _ = opened
    expert = load(EXPERTS["low"])
    waves = [np.zeros(8000 + 160 * i, np.float32) for i in (3, 0, 7, 1, 6, 2, 5, 4)]
    clips = [Clip(str(i), f"/{i}.wav", wave, len(wave)) for i, wave in enumerate(waves)]
    assert Filler(expert, datasets["low"], batch_seconds=2.0).fill(clips) == ["stored"] * 8
    assert expert.calls == [3, 3, 2]
    assert len(datasets["low"].read("2")) == block_length(8000 + 160 * 7)


def test_a_machine_with_other_weights_is_refused(opened):
    datasets, _ = opened
    with pytest.raises(RuntimeError, match="different weights or code"):
        Filler(load(EXPERTS["high"]), datasets["low"], batch_seconds=8)


def test_what_another_job_stored_meanwhile_is_not_encoded_again(opened, make_clip):
    datasets, tasks = opened
    uris = [make_clip(f"{i}.wav", hertz=100 * (i + 1)) for i in range(2)]
    table = decoder_for(tasks)(table_of(*uris))
    datasets["low"].write([(clip_id(load_audio(uris[0], 16_000)), np.zeros((3, 2)))])
    pool = pool_for(tasks[:1])
    assert pool(table).column(f"state:{tasks[0].name}").to_pylist() == ["stored", "stored"]
    assert pool._fillers[0].expert.calls == [1]
    assert len(datasets["low"]) == 2


@pytest.mark.parametrize("model", ["spidr", "panns", "emotion2vec", "basic_pitch"])
def test_a_stored_target_does_not_depend_on_the_batch_it_was_made_in(tmp_path, model):
    config = ExpertConfig(model=model)
    expert = load_expert(config)
    rng = np.random.default_rng(0)
    clips = []
    for i, seconds in enumerate((0.8, 1.3, 0.8, 2.1, 1.3)):
        wave = 0.1 * rng.normal(size=int(seconds * expert.spec.sample_rate)).astype(np.float32)
        clips.append(Clip(str(i), f"/{i}.wav", wave, int(seconds * 16_000)))
    stored = {}
    for name, batches in (("together", [clips]), ("alone", [[clip] for clip in clips])):
        datasets, _ = open_datasets({"role": config}, TargetStore(tmp_path / name))
        filler = Filler(expert, datasets["role"], batch_seconds=32)
        assert all(filler.fill(batch) == ["stored"] * len(batch) for batch in batches)
        stored[name] = [datasets["role"].read(clip.clip_id) for clip in clips]
    for together, alone in zip(stored["together"], stored["alone"], strict=True):
        step = np.spacing(np.abs(alone)).astype(np.float32)  # a rounding of float16 may fall on the other side
        assert (np.abs(together.astype(np.float32) - alone) <= np.maximum(1e-4, step)).all()
