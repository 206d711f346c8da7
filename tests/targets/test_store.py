"""The store: plain Parquet, whole parts, any process may read, what is missing says so."""

import json
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from coat_ray.config import ExpertConfig
from coat_ray.experts.base import ClassifierHead, ContourHead, ExpertSpec
from coat_ray.provenance import fingerprint as digest
from coat_ray.targets import parts
from coat_ray.targets.quarantine import QuarantineRow
from coat_ray.targets.store import TargetDataset, TargetNotFound, TargetStore, alignment_of, target_fingerprint

SPEC = ExpertSpec(
    name="toy",
    sample_rate=16_000,
    rate=50.0,
    first_center=0.0125,
    width=3,
    loss="mse",
    licence="MIT",
    commercial_use=True,
    source="these tests",
    labels=("low", "high"),
)


def frames(seed: int, length: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(length, SPEC.width)).astype(np.float16)


@pytest.fixture
def store(tmp_path):
    return TargetStore(tmp_path / "targets")


@pytest.fixture
def dataset(store):
    return store.open_or_create(SPEC, "e" * 64, None, "block")


def test_what_is_written_is_read_back_bit_for_bit(dataset):
    dataset.write([("a", frames(1, 4)), ("b", frames(2, 7))])
    np.testing.assert_array_equal(dataset.read("a"), frames(1, 4))
    np.testing.assert_array_equal(dataset.read("b"), frames(2, 7))
    assert dataset.read("b").dtype == np.float16
    assert dataset.clip_ids() == {"a", "b"}
    assert "a" in dataset
    assert "c" not in dataset


def test_pyarrow_alone_can_read_a_part(dataset):
    path = dataset.write([("a", frames(1, 4)), ("b", frames(2, 7))])
    table = pq.read_table(path).to_pydict()
    assert table["clip_id"] == ["a", "b"]
    assert (table["length"], table["width"]) == ([4, 7], [3, 3])
    np.testing.assert_array_equal(np.array(table["frames"][1], np.float16).reshape(7, 3), frames(2, 7))


def test_reading_one_clip_touches_a_small_row_group(dataset):
    wide = [(str(i), np.zeros((100, 2112), np.float16)) for i in range(6)]
    file = pq.ParquetFile(dataset.write(wide))
    assert file.num_row_groups == 6
    small = [(str(i), frames(i)) for i in range(1000)]
    assert pq.ParquetFile(dataset.write(small)).num_row_groups == 1


def test_rows_are_found_across_row_groups_and_parts(dataset, monkeypatch):
    monkeypatch.setattr(parts, "_GROUP_BYTES", 60)  # two rows to a group
    rows = [(f"clip{i}", frames(i)) for i in range(11)]
    dataset.write(rows[:7])
    dataset.write(rows[7:])
    for clip_id, expected in rows:
        np.testing.assert_array_equal(dataset.read(clip_id), expected)


def test_a_clip_that_is_stored_is_not_stored_again(dataset):
    dataset.write([("a", frames(1))])
    assert dataset.write([("a", frames(2))]) is None
    dataset.write([("a", frames(2)), ("b", frames(3))])
    rows = [i for part in dataset.folder.glob("part-*") for i in pq.read_table(part).column("clip_id").to_pylist()]
    assert sorted(rows) == ["a", "b"]
    np.testing.assert_array_equal(dataset.read("a"), frames(1))


def test_writers_that_race_store_each_clip_once(dataset):
    rows = [(f"clip{i}", frames(i)) for i in range(40)]

    def write(shift: int) -> None:
        own, turned = TargetDataset(dataset.folder), rows[shift:] + rows[:shift]
        for start in range(0, len(rows), 5):
            own.write(turned[start : start + 5])

    with ThreadPoolExecutor(4) as writers:  # the lock holds between open files, so threads stand for processes
        list(writers.map(write, (0, 3, 17, 0)))
    ids = [i for part in dataset.folder.glob("part-*") for i in pq.read_table(part).column("clip_id").to_pylist()]
    assert sorted(ids) == sorted(name for name, _ in rows)


@pytest.fixture
def small(store):
    return store.open_or_create(SPEC, "e" * 64, None, "block", "int8")


def test_int8_frames_come_back_within_half_a_step_of_their_channel(small):
    exact = frames(1, 50).astype(np.float32) * [1, 100, 0.01]
    small.write([("a", exact), ("silence", np.zeros((4, 3)))])
    back = small.read("a")
    assert back.dtype == np.float16
    half_a_step = np.abs(exact).max(axis=0) / 127 / 2
    assert (np.abs(back - exact) <= half_a_step * 1.01 + np.abs(exact) * 2**-10).all()
    np.testing.assert_array_equal(small.read("silence"), np.zeros((4, 3)))


def test_int8_parts_carry_scales_and_their_own_error(small):
    exact = frames(1, 50).astype(np.float32)
    table = pq.read_table(small.write([("a", exact)])).to_pydict()
    restored = np.array(table["frames"][0]).reshape(50, 3) * table["scale"][0]
    assert table["error"][0] == pytest.approx(np.linalg.norm(restored - exact) / np.linalg.norm(exact), rel=1e-2)
    assert 0 < table["error"][0] < 0.01


def test_an_open_dataset_sees_parts_that_others_write(dataset):
    other = TargetDataset(dataset.folder)
    assert other.clip_ids() == set()
    dataset.write([("a", frames(1))])
    np.testing.assert_array_equal(other.read("a"), frames(1))


def test_a_dataset_can_be_read_in_another_process(dataset):
    dataset.write([("a", frames(1))])
    dataset.read("a")
    copy = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(copy.read("a"), frames(1))
    code = "import sys, pickle; print(pickle.load(sys.stdin.buffer).read('a').astype(float).sum())"
    out = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(dataset), capture_output=True, check=True)
    assert float(out.stdout) == pytest.approx(float(frames(1).astype(float).sum()))


def test_a_killed_writer_leaves_nothing_that_is_read(dataset, monkeypatch):
    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", die)
    with pytest.raises(KeyboardInterrupt):
        dataset.write([("a", frames(1))])
    monkeypatch.undo()
    assert dataset.clip_ids() == set()


def test_the_index_holds_the_same_rows_as_the_parts(dataset, monkeypatch):
    monkeypatch.setattr(parts, "_REINDEX_AFTER", 3)
    for i in range(3):
        dataset.write([(f"{i}-{k}", frames(10 * i + k)) for k in range(4)])
    expected = dataset.clip_ids()
    assert (dataset.folder / "index.parquet").is_file()
    opened = TargetDataset(dataset.folder)
    monkeypatch.setattr(pq, "read_table", _only_index(pq.read_table))
    assert opened.clip_ids() == expected
    np.testing.assert_array_equal(opened.read("2-3"), frames(23))


def _only_index(read_table):
    def read(path, **kwargs):
        assert path.name == "index.parquet", f"opened {path} although the index covers it"
        return read_table(path, **kwargs)

    return read


def test_an_index_that_names_a_part_that_is_gone_is_corrected(dataset, monkeypatch):
    monkeypatch.setattr(parts, "_REINDEX_AFTER", 1)
    gone = dataset.write([("a", frames(1))])
    dataset.write([("b", frames(2))])
    dataset.clip_ids()
    gone.unlink()
    assert TargetDataset(dataset.folder).clip_ids() == {"b"}


def test_a_missing_clip_says_what_to_do(dataset):
    with pytest.raises(TargetNotFound, match=r"run jobs/encode\.py"):
        dataset.read("nowhere")


def test_a_quarantined_clip_says_why(dataset):
    dataset.quarantine.write([QuarantineRow("a", "/clips/a.wav", "too_short", "0.01 s")])
    with pytest.raises(TargetNotFound, match=r"quarantine \(too_short\)"):
        dataset.read("a")
    assert dataset.quarantine.rows() == [QuarantineRow("a", "/clips/a.wav", "too_short", "0.01 s")]


def test_the_same_quarantine_written_twice_is_one_row(dataset):
    row = QuarantineRow("a", "/clips/a.wav", "too_short", "0.01 s")
    dataset.quarantine.write([row])
    dataset.quarantine.write([row])
    assert dataset.quarantine.rows() == [row]


@pytest.mark.parametrize("bad", [np.full((2, 3), np.nan), np.full((2, 3), 1e6)])
def test_frames_that_float16_cannot_hold_are_refused(dataset, bad):
    with pytest.raises(ValueError, match="not finite in float16"):
        dataset.write([("a", bad)])


def test_the_fingerprint_covers_expert_and_alignment(store):
    made = {
        store.open_or_create(SPEC, expert, None, alignment).fingerprint
        for expert in ("e" * 64, "f" * 64)
        for alignment in ("block", "native")
    }
    assert len(made) == 4
    assert {dataset.fingerprint for dataset in store.datasets()} == made
    assert target_fingerprint("e" * 64, "block") in made


def test_the_fingerprint_covers_the_precision_and_float16_keeps_the_one_it_always_had(store):
    assert target_fingerprint("e" * 64, "block", "int8") != target_fingerprint("e" * 64, "block")
    assert target_fingerprint("e" * 64, "block") == digest({"expert": "e" * 64, "alignment": "block", "version": 1})


@pytest.mark.parametrize(("rate", "stored"), [(3.125, "native"), (50.0, "block")])
def test_an_expert_slower_than_the_block_stays_at_its_own_rate(rate, stored):
    spec = replace(SPEC, rate=rate)
    assert alignment_of(ExpertConfig(model="toy", alignment=None), spec) == stored
    assert alignment_of(ExpertConfig(model="toy", alignment="block"), spec) == "block"


def test_meta_states_rate_and_first_centre_as_stored(store):
    block = store.open_or_create(SPEC, "e" * 64, None, "block")
    native = store.open_or_create(SPEC, "e" * 64, None, "native")
    assert (block.meta.rate, block.meta.first_center) == (25.0, 0.010)
    assert (native.meta.rate, native.meta.first_center) == (50.0, 0.0125)
    assert block.spec == native.spec == SPEC
    assert json.loads((block.folder / "expert.json").read_text())["spec"]["labels"] == ["low", "high"]


def test_opening_again_keeps_what_is_there(store, dataset):
    dataset.write([("a", frames(1))])
    again = store.open_or_create(SPEC, "e" * 64, None, "block")
    assert again.clip_ids() == {"a"}


def test_a_dataset_is_found_by_fingerprint_and_its_absence_is_explained(store, dataset):
    assert store.dataset(dataset.fingerprint).folder == dataset.folder
    with pytest.raises(TargetNotFound, match=f"holds: {dataset.folder.name}"):
        store.dataset("0" * 64)


@pytest.mark.parametrize("head", [ClassifierHead(3, 2), ContourHead()])
def test_the_frozen_head_comes_back_with_its_weights(store, head):
    loaded = store.open_or_create(SPEC, head.kind, head, "block").load_head()
    assert type(loaded) is type(head)
    for name, weight in head.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], weight)
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_an_expert_without_a_head_has_none(dataset):
    assert dataset.load_head() is None
