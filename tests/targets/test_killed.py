"""Jobs that die, and jobs that meet: no row twice and none lost, counted with pyarrow alone."""

import random
import time

import pytest

from coat_ray.targets.encode import encode_corpus
from coat_ray.targets.store import TargetStore
from coat_ray.targets.upkeep import verify

from .jobs import EXPERTS, RESOURCES, block_each, start_job, stored_rows
from .loudness import load

KILLS = 10

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "targets"


def test_a_job_killed_again_and_again_ends_with_every_row_once(folder, make_clip, ray_cluster):
    """What is killed with SIGKILL is the driver; Ray then ends its actors in the middle of what they do."""
    uris = [make_clip(f"{i}.wav", hertz=50 * (i + 1)) for i in range(40)]
    chance = random.Random(0)
    seen = []
    for _ in range(KILLS):
        job, before = start_job(ray_cluster, uris, folder), len(stored_rows(folder))
        wait_for = chance.randint(0, 4)
        deadline = time.monotonic() + 120
        while job.is_alive() and len(stored_rows(folder)) < before + wait_for and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(chance.uniform(0, 0.5))
        assert job.is_alive()
        job.kill()
        job.join()
        seen.append(len(stored_rows(folder)))
    assert 0 < seen[-1] < 80
    assert len(set(seen)) > 3  # the kills fell at different moments of the work
    report = encode_corpus(block_each(uris), EXPERTS, TargetStore(folder), RESOURCES, load=load)
    assert {expert.present for expert in report.experts.values()} == {40}
    rows = stored_rows(folder)
    assert len(rows) == 80
    assert set(rows.values()) == {1}
    assert [one.damage for one in verify(TargetStore(folder))] == [[], []]


def test_two_jobs_on_the_same_corpus_share_it(folder, make_clip, ray_cluster):
    uris = [make_clip(f"{i}.wav", hertz=50 * (i + 1)) for i in range(10)]
    jobs = [start_job(ray_cluster, order, folder) for order in (uris, uris[::-1])]
    for job in jobs:
        job.join(300)
    assert [job.exitcode for job in jobs] == [0, 0]
    rows = stored_rows(folder)
    assert len(rows) == 20
    assert set(rows.values()) == {1}
