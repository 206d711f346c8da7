"""The whole encode run on a real Ray: only what is missing, nothing twice, nothing lost."""

import io
import os
from collections import Counter

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from coat_ray.config import ExpertConfig, ResourcesConfig
from coat_ray.targets.encode import encode_corpus
from coat_ray.targets.pipeline import EncodeError
from coat_ray.targets.plan import ClipRef
from coat_ray.targets.report import EncodeProgress, LineProgress
from coat_ray.targets.store import TargetStore

from .loudness import Trouble, load, load_fragile

EXPERTS = {"low": ExpertConfig(model="loudness16000"), "high": ExpertConfig(model="loudness32000", alignment="native")}
SHARED = ResourcesConfig(encode_actors=1, encode_cpus=0.5)
APART = ResourcesConfig(encode_actors=1, encode_cpus=0.5, encode_shared=False)

pytestmark = pytest.mark.usefixtures("ray_cluster")


@pytest.fixture
def store(tmp_path):
    return TargetStore(tmp_path / "targets")


def refs(*uris: str) -> list[ClipRef]:
    return [ClipRef(uri) for uri in uris]


def stored_rows(store: TargetStore) -> Counter:
    """Every row of every part, counted by (dataset, clip id), read with pyarrow alone."""
    return Counter(
        (path.parent.name, clip_id)
        for path in store.folder.glob("*/part-*.parquet")
        for clip_id in pq.read_table(path, columns=["clip_id"]).column(0).to_pylist()
    )


@pytest.mark.parametrize("resources", [SHARED, APART], ids=["shared", "apart"])
def test_every_clip_gets_targets_of_every_expert_once(store, make_clip, resources):
    uris = [make_clip(f"{i}.wav", hertz=100 * (i + 1)) for i in range(6)]
    report = encode_corpus(refs(*uris, uris[0]), EXPERTS, store, resources, load=load)
    assert (report.files, report.clips, report.decoded, report.bad_files) == (6, 6, 6, 0)
    assert {role: (e.present, e.stored, e.quarantined) for role, e in report.experts.items()} == {
        "low": (6, 6, 0),
        "high": (6, 6, 0),
    }
    rows = stored_rows(store)
    assert len(rows) == 12
    assert set(rows.values()) == {1}
    assert len(store.dataset(report.fingerprints["high"]).clip_ids()) == 6


def test_a_second_run_does_nothing_and_a_third_only_what_is_new(store, make_clip):
    old = [make_clip(f"{i}.wav", hertz=100 * (i + 1)) for i in range(3)]
    encode_corpus(refs(*old), {"low": EXPERTS["low"]}, store, SHARED, load=load)
    again = encode_corpus(refs(*old), {"low": EXPERTS["low"]}, store, SHARED, load=load)
    assert (again.decoded, again.experts["low"].stored, again.experts["low"].present) == (0, 0, 3)
    more = encode_corpus(refs(*old, make_clip("new.wav", hertz=999)), EXPERTS, store, SHARED, load=load)
    assert {role: (e.present, e.stored) for role, e in more.experts.items()} == {"low": (4, 1), "high": (4, 4)}
    assert set(stored_rows(store).values()) == {1}


def test_the_same_sound_in_two_files_is_encoded_once(store, make_clip):
    uris = [make_clip("a.wav"), make_clip("copy.wav"), make_clip("b.wav", hertz=99)]
    report = encode_corpus(refs(*uris), EXPERTS, store, SHARED, load=load)
    assert (report.files, report.clips) == (3, 2)
    assert set(stored_rows(store).values()) == {1}
    assert encode_corpus(refs(*uris), EXPERTS, store, SHARED, load=load).decoded == 0


def test_bad_clips_are_named_with_their_reasons_and_the_others_are_stored(store, make_clip, tmp_path):
    noise = tmp_path / "noise.wav"
    noise.write_bytes(b"this is no sound at all" * 99)
    uris = [make_clip("a.wav"), make_clip("loud.wav", peak=1.0), str(noise), str(tmp_path / "gone.wav")]
    report = encode_corpus(refs(*uris), {"low": EXPERTS["low"]}, store, SHARED, load=load)
    assert {(row.uri, row.reason) for row in report.quarantine} == {
        (uris[1], "refused"),
        (uris[2], "not_audio"),
        (uris[3], "missing"),
    }
    assert (report.bad_files, report.experts["low"].present) == (2, 1)
    again = encode_corpus(refs(*uris), {"low": EXPERTS["low"]}, store, SHARED, load=load)
    assert again.decoded == 1  # only the missing file could have changed
    assert {row.reason for row in again.quarantine} == {"refused", "not_audio", "missing"}


def test_a_clip_that_met_a_passing_error_is_tried_again(store, make_clip, tmp_path):
    uri = make_clip("a.wav")
    trouble = Trouble("raises", tmp_path / "marker")
    first = encode_corpus(refs(uri), {"low": EXPERTS["low"]}, store, SHARED, load=trouble)
    assert [row.reason for row in first.quarantine] == ["crashed"]
    second = encode_corpus(refs(uri), {"low": EXPERTS["low"]}, store, SHARED, load=trouble)
    assert (second.experts["low"].present, second.quarantine) == (1, [])


def test_an_actor_that_dies_is_started_again_and_nothing_is_lost(store, make_clip, tmp_path):
    uris = [make_clip(f"{i}.wav", hertz=100 * (i + 1)) for i in range(4)]
    trouble = Trouble("dies", tmp_path / "marker")
    report = encode_corpus(refs(*uris), EXPERTS, store, SHARED, load=trouble)
    assert {e.present for e in report.experts.values()} == {4}
    assert set(stored_rows(store).values()) == {1}


def test_weights_that_differ_between_machines_stop_the_run_in_words(store, make_clip):
    with pytest.raises(EncodeError, match=r"(?s)different weights or code.*run it again"):
        encode_corpus(refs(make_clip("a.wav")), {"low": EXPERTS["low"]}, store, SHARED, load=load_other_weights_later())


def load_other_weights_later():
    """A loader whose teacher in an actor is not the one that the driver saw."""
    driver = os.getpid()

    def loader(config, device):
        return load(config if os.getpid() == driver else EXPERTS["high"], device)

    return loader


@pytest.mark.parametrize(
    ("resources", "needs"),
    [
        ({"encode_actors": 7, "encode_cpus": 1}, "7 encode actors need 7 CPUs and the cluster has 6"),
        ({"encode_cpus": 2.5, "encode_shared": False}, "2 encode actors need 7.5 CPUs and the cluster has 6"),
        ({"encode_pools": {"low": {"gpus": 0.25}}}, "2 encode actors need 0.25 GPUs and the cluster has 0"),
        ({"encode_pools": {"low": {"min_actors": 13}}}, "14 encode actors need 7.5 CPUs and the cluster has 6"),
    ],
)
def test_a_cluster_that_is_too_small_is_an_error_and_not_a_wait(store, make_clip, resources, needs):
    with pytest.raises(ValueError, match=needs):
        encode_corpus(refs(make_clip("a.wav")), EXPERTS, store, ResourcesConfig(**resources), load=load)


def test_each_expert_has_a_pool_of_its_own_that_grows_between_its_bounds(store, make_clip):
    uris = [make_clip(f"{i}.wav", seconds=8, hertz=100 * (i + 1)) for i in range(24)]
    pools = {"low": {"max_actors": 2, "cpus": 0.3}, "high": {"min_actors": 2, "max_actors": 40, "cpus": 0.2}}
    resources = ResourcesConfig(encode_cpus=0.5, encode_pools=pools)
    report = encode_corpus(refs(*uris), EXPERTS, store, resources, load=load)
    assert {e.present for e in report.experts.values()} == {24}
    assert set(stored_rows(store).values()) == {1}


def test_a_clip_that_kills_its_process_is_refused_alone(store, make_clip):
    uris = [make_clip(f"{i}.wav", hertz=100 * (i + 1), peak=0.85 if i == 3 else 0.5) for i in range(8)]
    report = encode_corpus(refs(*uris), EXPERTS, store, SHARED, load=load_fragile)
    assert [(row.uri, row.reason) for row in report.quarantine] == [(uris[3], "crashed")]
    assert {role: e.present for role, e in report.experts.items()} == {"low": 7, "high": 7}
    assert set(stored_rows(store).values()) == {1}


def test_progress_counts_up_to_the_total_and_the_table_names_each_role(store, make_clip):
    seen: list[EncodeProgress] = []
    report = encode_corpus(refs(make_clip("a.wav")), EXPERTS, store, SHARED, progress=seen.append, load=load)
    assert (seen[-1].clips_done, seen[-1].clips_total, seen[-1].stored) == (1, 1, 2)
    console = Console(file=io.StringIO(), width=80)
    LineProgress(console)(seen[-1])
    report.print(console)
    text = console.file.getvalue()
    assert "encode 1/1 clips" in text
    assert "low" in text
    assert f"loudness32000-{report.fingerprints['high'][:8]}" in text
