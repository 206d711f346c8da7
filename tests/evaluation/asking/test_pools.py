"""Actors share out the batches and the file of answers is the one that a single model would have left."""

import os
import signal
import subprocess
import sys

import pytest

from coat_ray.corpus.manifest import write_manifest
from coat_ray.evaluation.asking.answers import AudioNotHeardError, EvaluationError, Said, ask
from coat_ray.evaluation.asking.pools import RayPool

SETTINGS = {"model": "toy", "batch_rows": 3, "max_new_tokens": 8}

SCRIPT = """
import os, signal, sys
from pathlib import Path
from coat_ray.cluster import connect
from coat_ray.corpus.manifest import read_manifest
from coat_ray.evaluation.asking.answers import Said, ask
from coat_ray.evaluation.asking.pools import RayPool

class Echo:
    def answer(self, rows, max_new_tokens):
        return [Said(row.answer, row.audios, 25 * len(row.audios)) for row in rows]

def dies(done, total):
    if done >= 12:
        os.kill(os.getpid(), signal.SIGKILL)

rows = read_manifest(Path(sys.argv[1])).rows
with connect():
    ask(RayPool(Echo, actors=2), rows, Path(sys.argv[2]), model="toy", batch_rows=3, max_new_tokens=8, progress=dies)
"""


class Echo:
    """Answers with the reference; as many copies as there are actors."""

    def answer(self, rows, max_new_tokens):
        return [Said(row.answer, row.audios, 25 * len(row.audios)) for row in rows]

    def identity(self) -> str:
        return "echo"


class Deaf(Echo):
    def answer(self, rows, max_new_tokens):
        raise AudioNotHeardError(f"row {rows[0].id}: nothing was heard")


class Broken(Echo):
    def answer(self, rows, max_new_tokens):
        raise OSError("no such weights")


def test_actors_leave_the_file_of_one_model(rows, scripted, tmp_path, ray_cluster) -> None:
    alone, shared = tmp_path / "alone.jsonl", tmp_path / "shared.jsonl"
    expected = ask(scripted(), rows, alone, **SETTINGS)
    pool = RayPool(Echo, actors=2)
    assert ask(pool, rows, shared, **SETTINGS) == expected
    assert shared.read_bytes() == alone.read_bytes()
    assert pool.identity() == "echo"


def test_actors_that_were_killed_with_their_driver_continue_to_the_same_file(
    rows, scripted, tmp_path, ray_cluster
) -> None:
    whole, broken, manifest = tmp_path / "whole.jsonl", tmp_path / "broken.jsonl", tmp_path / "rows.jsonl"
    ask(scripted(), rows, whole, **SETTINGS)
    write_manifest(rows, manifest)
    command = [sys.executable, "-c", SCRIPT, str(manifest), str(broken)]
    environment = os.environ | {"RAY_ADDRESS": ray_cluster}
    done = subprocess.run(command, timeout=240, check=False, env=environment, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    left = broken.read_bytes()
    assert whole.read_bytes().startswith(left)
    assert 12 < left.count(b"\n") < 40
    rest = scripted()
    ask(rest, rows, broken, **SETTINGS)
    assert len(rest.asked) == 41 - left.count(b"\n")
    assert broken.read_bytes() == whole.read_bytes()


def test_what_an_actor_meets_is_said_here(rows, tmp_path, ray_cluster) -> None:
    with pytest.raises(AudioNotHeardError, match="nothing was heard"):
        ask(RayPool(Deaf), rows, tmp_path / "a.jsonl", **SETTINGS)
    with pytest.raises(EvaluationError, match="no such weights"):
        ask(RayPool(Broken), rows, tmp_path / "b.jsonl", **SETTINGS)


def test_a_pool_that_the_cluster_cannot_hold_is_refused(rows, tmp_path, ray_cluster) -> None:
    with pytest.raises(ValueError, match="needs 99 CPUs"):
        ask(RayPool(Echo, cpus=99), rows, tmp_path / "a.jsonl", **SETTINGS)
