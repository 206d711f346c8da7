"""A store can be listed, proved whole, and cleaned, without touching what somebody is writing."""

import json
import os
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from coat_ray.config import ExpertConfig, RunConfig
from coat_ray.storage import Storage
from coat_ray.targets.corpus import target_fingerprints
from coat_ray.targets.encode import open_datasets
from coat_ray.targets.garbage import find_garbage, remove
from coat_ray.targets.quarantine import QuarantineRow
from coat_ray.targets.store import TargetStore
from coat_ray.targets.summary import summarise
from coat_ray.targets.verify import verify

from .loudness import load

EXPERTS = {
    "low": ExpertConfig(model="loudness16000"),
    "small": ExpertConfig(model="loudness16000", dtype="int8"),
}


def frames(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(12, 2)).astype(np.float32)


@pytest.fixture
def store(coat_home):
    return TargetStore(Storage(coat_home).targets)


@pytest.fixture
def datasets(store):
    datasets, _ = open_datasets(EXPERTS, store, load)
    for dataset in datasets.values():
        dataset.write([("a", frames(1)), ("b", frames(2))])
        dataset.write([("c", frames(3))])
    datasets["low"].quarantine.write([QuarantineRow("d", "/d.wav", "refused", "too loud")])
    return datasets


def make_old(folder):
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (time.time() - 7200,) * 2)


def problems(store):
    return [bad.problem for one in verify(store) for bad in one.damage]


def test_a_summary_counts_clips_bytes_and_refusals_and_states_the_error_of_int8(datasets):
    low, small = (summarise(datasets[role]) for role in ("low", "small"))
    assert (low.clips, low.parts, low.quarantined, low.error) == (3, 2, 1, None)
    assert low.bytes == sum(path.stat().st_size for path in datasets["low"].folder.glob("part-*"))
    assert (small.dtype, small.clips, small.quarantined) == ("int8", 3, 0)
    assert 0 < small.error < 0.01


def test_a_whole_store_has_no_damage(store, datasets):
    assert [(one.parts, one.clips, one.repeated, one.damage) for one in verify(store)] == [(2, 3, 0, [])] * 2


def test_a_part_that_was_cut_is_named(store, datasets, coat):
    part = min(datasets["low"].folder.glob("part-*"))
    part.write_bytes(part.read_bytes()[:-50])
    code, out, err = coat("targets", "verify")
    assert code == 1
    assert str(part) in err
    assert datasets["low"].folder.name in out
    code, _, err = coat("targets", "list")
    assert code == 1
    assert f"{part} is damaged: `coat targets verify`" in err


@pytest.mark.parametrize("values", [np.full((12, 2), np.nan), np.zeros((12, 3))])
def test_frames_that_are_not_finite_or_of_another_width_are_damage(store, datasets, monkeypatch, values):
    monkeypatch.setattr("coat_ray.targets.parts.checked", lambda clip_id, frames: frames)
    datasets["low"].write([("d", values)])
    assert any("not finite" in problem or "stated" in problem for problem in problems(store))


def test_a_clip_with_two_contents_is_damage_and_with_one_is_counted(store, datasets, monkeypatch):
    monkeypatch.setattr(type(datasets["low"]), "held", lambda self, ids: set())  # a writer without the lock
    datasets["low"].write([("e", frames(9)), ("a", frames(1))])
    assert problems(store) == []
    assert sum(one.repeated for one in verify(store)) == 1
    datasets["low"].write([("f", frames(9)), ("a", frames(7))])
    assert set(problems(store)) == {"clip a is also in another part, with other frames"}


def test_an_index_that_points_wrong_or_is_broken_is_damage(store, datasets):
    folder = datasets["low"].folder
    part = min(folder.glob("part-*")).name
    index = pa.table({"part": [part], "clip_id": ["c"], "row": pa.array([7], pa.int32())})
    pq.write_table(index, folder / "index.parquet")
    assert problems(store) == ["the index points wrong for 1 clips"]
    (folder / "index.parquet").write_bytes(b"no parquet")
    assert "the index cannot be read" in problems(store)[0]


def test_garbage_is_what_is_left_over_unreadable_or_unused_and_old_enough(store, datasets):
    keep = [datasets["low"].fingerprint]
    leftover = datasets["low"].folder / ".part-1.parquet.x.tmp"
    leftover.write_bytes(b"half")
    broken = min(datasets["low"].folder.glob("part-*"))
    broken.write_bytes(b"no parquet")
    assert find_garbage(store, keep) == []
    make_old(store.folder)
    found = {(item.path, item.kind) for item in find_garbage(store, keep)}
    unused = datasets["small"].folder
    assert found == {(leftover, "temporary"), (broken, "unreadable"), (unused, "dataset")}
    assert {item.kind for item in find_garbage(store)} == {"temporary", "unreadable"}


def test_what_somebody_writes_meanwhile_stays(store, datasets):
    make_old(store.folder)
    found = find_garbage(store, [])
    assert len(found) == 2
    datasets["small"].write([("new", frames(5))])
    assert [item.path for item in remove(found)] == [datasets["low"].folder]
    assert datasets["small"].folder.is_dir()


def test_a_dataset_whose_removal_was_cut_short_is_not_listed_and_its_rest_goes(store, datasets, monkeypatch):
    make_old(store.folder)
    monkeypatch.setattr("shutil.rmtree", lambda folder: None)  # the process dies before it has removed the files
    assert len(remove(find_garbage(store, []))) == 2
    monkeypatch.undo()
    assert store.datasets() == verify(store) == []
    rest = find_garbage(store)
    assert {item.kind for item in rest} == {"temporary"}
    assert len(remove(rest)) == 2
    assert [path.name for path in store.folder.iterdir()] == []


def test_gc_only_speaks_until_it_is_told_to_act(datasets, coat):
    make_old(datasets["low"].folder)
    (datasets["low"].folder / ".x.tmp").write_bytes(b"half")
    make_old(datasets["low"].folder)
    code, out, _ = coat("targets", "gc")
    assert (code, "would remove" in out) == (0, True)
    code, out, _ = coat("targets", "gc", "--yes", "--json")
    assert [item["kind"] for item in json.loads(out)["garbage"]] == ["temporary"]
    assert "nothing to remove" in coat("targets", "gc", "--yes")[1]


def test_list_shows_every_dataset(datasets, coat):
    code, out, _ = coat("targets", "list", "--json")
    assert code == 0
    assert {row["dtype"] for row in json.loads(out)} == {"float16", "int8"}
    assert "loudness16000" in coat("targets", "list")[1]


def test_an_empty_store_says_how_to_fill_it(coat_home, coat):
    assert "coat encode" in coat("targets", "list")[1]
    assert coat("targets", "verify")[0] == coat("targets", "gc")[0] == 0


def test_a_run_names_the_datasets_that_it_reads(datasets):
    config = RunConfig(name="toy", experts=EXPERTS, stages=[{"name": "all", "steps": 1}])
    assert target_fingerprints(config, load) == {dataset.fingerprint for dataset in datasets.values()}
