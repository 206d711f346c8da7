"""Jobs that die, and jobs that meet: no row twice and none lost, counted with pyarrow alone."""

import random
import time

import pytest

from coat_ray.targets.encode import encode_corpus
from coat_ray.targets.store import TargetStore
from coat_ray.targets.verify import verify

from .jobs import EXPERTS, RESOURCES, block_each, count_parts, start_job, start_local_job, stored_rows
from .loudness import load

KILLS, LOCAL_KILLS = 5, 20

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "targets"


@pytest.fixture
def make_corpus(make_clip):
    def make(count):
        return [make_clip(f"{i}.wav", seconds=0.2, hertz=50 * (i + 1)) for i in range(count)]

    return make


def kill_at_random(job, folder, chance, longest_wait):
    """End *job* with SIGKILL within *longest_wait* seconds after its next few parts; it must still be at work."""
    wanted = count_parts(folder) + chance.randint(0, 4)
    deadline = time.monotonic() + 120
    while job.is_alive() and count_parts(folder) < wanted and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(chance.uniform(0, longest_wait))
    assert job.is_alive()
    job.kill()
    job.join()


def assert_every_row_once(folder, clips):
    rows = stored_rows(folder)
    assert len(rows) == clips * len(EXPERTS)
    assert set(rows.values()) == {1}
    assert [one.damage for one in verify(TargetStore(folder))] == [[]] * len(EXPERTS)


def test_a_job_killed_again_and_again_ends_with_every_row_once(folder, make_corpus, ray_cluster):
    """What is killed is the driver; Ray then ends its actors in the middle of what they do."""
    uris, chance = make_corpus(40), random.Random(0)
    for _ in range(KILLS):
        kill_at_random(start_job(ray_cluster, uris, folder), folder, chance, longest_wait=0.5)
    assert 0 < len(stored_rows(folder)) < 80
    report = encode_corpus(block_each(uris), EXPERTS, TargetStore(folder), RESOURCES, load=load)
    assert {expert.present for expert in report.experts.values()} == {40}
    assert_every_row_once(folder, clips=40)


def test_the_process_that_writes_may_be_killed_at_any_moment(folder, make_corpus):
    """Without Ray a job starts in no time, so that many kills meet it while it decodes, encodes, and writes."""
    uris, chance = make_corpus(150), random.Random(0)
    seen = []
    for _ in range(LOCAL_KILLS):
        kill_at_random(start_local_job(uris, folder), folder, chance, longest_wait=0.05)
        seen.append(len(stored_rows(folder)))
    assert 0 < seen[-1] < 300
    assert len(set(seen)) > LOCAL_KILLS // 2  # the kills fell at different moments of the work
    last = start_local_job(uris, folder)
    last.join(300)
    assert last.exitcode == 0
    assert_every_row_once(folder, clips=150)


def test_two_jobs_on_the_same_corpus_share_it(folder, make_corpus, ray_cluster):
    uris = make_corpus(10)
    jobs = [start_job(ray_cluster, order, folder) for order in (uris, uris[::-1])]
    for job in jobs:
        job.join(300)
    assert [job.exitcode for job in jobs] == [0, 0]
    assert_every_row_once(folder, clips=10)
