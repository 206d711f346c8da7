"""The plan computes each missing pair once, and groups clips so that little is padded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coat_ray.audio.states import source_states
from coat_ray.targets.clips import ClipEntry, ClipIndex
from coat_ray.targets.plan import Claims, ClipRef, ClipWork, absolute, make_batches, make_blocks, make_plan


def entry(uri: str, clip_id: str | None = None, reason: str | None = None) -> ClipEntry:
    return ClipEntry(uri, 1, 1, clip_id, 16_000, reason, reason)


def test_an_unknown_file_is_decoded_and_claimed_later():
    plan = make_plan([ClipRef("/a.wav", 2.0)], {"/a.wav": (5, 7)}, {}, Claims({"panns": set()}))
    assert plan.work == [ClipWork("/a.wav", 5, 7, 2.0)]


def test_a_known_clip_is_planned_for_what_it_lacks():
    claims = Claims({"panns": {"A"}, "spidr": set()})
    plan = make_plan([ClipRef("/a.wav")], {}, {"/a.wav": entry("/a.wav", "A")}, claims)
    assert [(work.clip_id, work.wanted) for work in plan.work] == [("A", ("spidr",))]


def test_a_complete_clip_is_not_touched():
    plan = make_plan([ClipRef("/a.wav")], {}, {"/a.wav": entry("/a.wav", "A")}, Claims({"panns": {"A"}}))
    assert plan.work == []
    assert plan.known == {"A"}


def test_a_file_that_is_known_not_to_decode_is_reported_and_not_tried_again():
    bad = entry("/a.wav", reason="truncated")
    plan = make_plan([ClipRef("/a.wav")], {}, {"/a.wav": bad}, Claims({"panns": set()}))
    assert (plan.work, plan.bad) == ([], [bad])


@pytest.mark.parametrize("reason", ["crashed", "too_long"])
def test_a_file_that_failed_through_the_run_or_its_limits_is_tried_again(reason):
    plan = make_plan([ClipRef("/a.wav")], {}, {"/a.wav": entry("/a.wav", reason=reason)}, Claims({"panns": set()}))
    assert len(plan.work) == 1


def test_a_file_named_by_several_rows_is_planned_once():
    plan = make_plan([ClipRef("/a.wav"), ClipRef("/a.wav")], {}, {}, Claims({"panns": set()}))
    assert len(plan.work) == 1


def test_two_files_with_the_same_sound_are_encoded_once_and_a_retry_gets_the_same_answer():
    claims = Claims({"panns": set()})
    assert claims.claim([("/a.wav", "A"), ("/copy.wav", "A")]) == [("panns",), ()]
    assert claims.claim([("/copy.wav", "A"), ("/a.wav", "A")]) == [(), ("panns",)]


@given(st.lists(st.floats(0.05, 40), min_size=1, max_size=200), st.integers(1, 4))
def test_blocks_hold_every_clip_once_longest_first(seconds, num_actors):
    work = [ClipWork(f"/{i}.wav", 0, 0, s) for i, s in enumerate(seconds)]
    blocks = make_blocks(work, num_actors)
    assert sorted(clip.uri for block in blocks for clip in block) == sorted(clip.uri for clip in work)
    lengths = [clip.seconds for block in blocks for clip in block]
    assert lengths == sorted(lengths, reverse=True)
    assert all(blocks)
    assert max(sum(clip.seconds for clip in block[:-1]) for block in blocks) < 120


def test_a_small_corpus_still_keeps_the_actors_busy():
    work = [ClipWork(f"/{i}.wav", 0, 0, 2.0) for i in range(300)]
    assert 8 <= len(make_blocks(work, 1)) <= 9
    assert 16 <= len(make_blocks(work, 2)) <= 17


@given(st.lists(st.integers(1, 500_000), max_size=100), st.integers(16_000, 2_000_000))
def test_batches_hold_every_clip_once_within_the_budget(lengths, budget):
    batches = make_batches(lengths, budget)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or max(lengths[i] for i in batch) * len(batch) <= budget


def test_neighbours_in_length_share_a_batch():
    assert make_batches([10, 100, 11, 99], 200) == [[1, 3], [2, 0]]


def test_an_index_finds_a_file_until_it_changes(tmp_path):
    file = tmp_path / "a.wav"
    file.write_bytes(b"one")
    index = ClipIndex(tmp_path / "clips")
    (state,) = source_states([str(file)]).values()
    known = ClipEntry(str(file), *state, "A", 16_000)
    index.add([known])
    assert index.find(source_states([str(file), "/other.wav"])) == {str(file): known}
    file.write_bytes(b"changed")
    assert index.find(source_states([str(file)])) == {}


def test_an_index_never_answers_for_a_file_that_is_not_there(tmp_path):
    index = ClipIndex(tmp_path / "clips")
    index.add([ClipEntry("/gone.wav", -1, -1, None, 0, "missing", "no such file")])
    assert index.find(source_states(["/gone.wav"])) == {}


def test_a_path_has_one_spelling_and_a_remote_address_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert absolute("a.wav") == absolute(tmp_path / "a.wav") == str(tmp_path / "a.wav")
    assert absolute("s3://bucket/a.wav") == "s3://bucket/a.wav"
