"""`make train` in small: a job on a private Ray that leaves no process, no temporary folder and no token behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from coat_ray.local.cluster import MARK, ClusterError, local_cluster

JOB = """
import os, pathlib, sys, time
print("job sees", sorted(p.name for p in pathlib.Path().iterdir()))
print("commit", os.environ.get("COAT_GIT_COMMIT"), "python", sys.executable)
print("code", __import__("coat_ray").__file__.startswith(os.getcwd()))
pathlib.Path(os.environ["COAT_HOME"], "result").write_text(os.environ["RAY_ADDRESS"])
if "wait" in sys.argv:
    time.sleep(120)
sys.exit(3 if "fail" in sys.argv else 0)
"""

pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    (folder / "jobs").mkdir(parents=True)
    (folder / "jobs" / "small.py").write_text(JOB)
    (folder / "coat_ray").mkdir()
    (folder / "coat_ray" / "__init__.py").write_text("")
    (folder / ".rayignore").write_text((Path(__file__).parents[2] / ".rayignore").read_text())
    (folder / "growing.log").write_text("a log in the project's folder")
    return folder


def test_a_job_gets_the_code_and_nothing_else_and_leaves_nothing(project, tmp_path):
    run = _start(project, tmp_path, "python", "jobs/small.py")
    output, _ = run.communicate(timeout=420)
    assert run.returncode == 0, output
    assert "job sees ['coat_ray', 'jobs']" in output
    assert f"python {Path(sys.executable).parent}" in output
    assert "code True" in output
    assert (tmp_path / "state" / "result").is_file()
    assert _left(tmp_path) == []
    token = tmp_path / "state" / "ray" / "token"
    assert token.stat().st_mode & 0o077 == 0
    assert token.read_text() not in output


def test_a_failed_job_gives_a_failed_command_and_keeps_the_logs(project, tmp_path):
    run = _start(project, tmp_path, "python", "jobs/small.py", "fail")
    output, _ = run.communicate(timeout=420)
    assert run.returncode == 1
    assert "the job failed" in output
    assert any((tmp_path / "state" / "ray" / "logs").iterdir())
    assert _left(tmp_path) == []


def test_an_interrupted_job_leaves_nothing_and_a_second_one_is_refused_meanwhile(project, tmp_path):
    run = _start(project, tmp_path, "python", "jobs/small.py", "wait")
    _wait_for((tmp_path / "state" / "result").is_file)
    second = _start(project, tmp_path, "python", "jobs/small.py")
    output, _ = second.communicate(timeout=60)
    assert second.returncode == 1
    assert f"process {run.pid} uses the local Ray" in output
    run.send_signal(signal.SIGTERM)
    output, _ = run.communicate(timeout=180)
    assert run.returncode == 130
    assert "the same command continues" in output
    assert _left(tmp_path) == []


def test_a_ray_that_cannot_start_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr("coat_ray.local.cluster.RAY", (sys.executable, "-c", "raise SystemExit('no Ray today')"))
    with pytest.raises(ClusterError, match="no Ray today"), local_cluster(tmp_path / "ray"):
        pass
    assert not (tmp_path / "ray" / "head.json").exists()


def _start(project, tmp_path, *command):
    return subprocess.Popen(
        [sys.executable, "-m", "coat_ray.local.job", *command],
        cwd=project,
        env={**os.environ, "COAT_HOME": str(tmp_path / "state"), "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _left(tmp_path):
    """Processes whose environment still carries this test's state folder."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            variables = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if f"COAT_HOME={tmp_path / 'state'}".encode() in variables and any(
            v.startswith(f"{MARK}=".encode()) for v in variables
        ):
            found.append(folder.name)
    return found


def _wait_for(condition, seconds=400):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)
