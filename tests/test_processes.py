"""Children end when their owner does, and nothing else is ever ended."""

import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from coat_ray.processes import end, end_marked, spawn

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)",
]
OWNER = """
import os, sys, time
from coat_ray.processes import spawn
child = spawn([sys.executable, "-c", "import time; time.sleep(60)"], os.environ)
print(child.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("command", [SLEEP, STUBBORN])
def test_a_child_ends_even_when_it_ignores_the_request(command, tmp_path):
    with (tmp_path / "log").open("wb") as log:
        child = spawn(command, os.environ, log)
    _wait_for(lambda: (tmp_path / "log").read_text() == "up\n")
    end(child, seconds=0.5)
    assert child.returncode == (-signal.SIGTERM if command is SLEEP else -signal.SIGKILL)


def test_a_child_is_out_of_reach_of_ctrl_c():
    child = spawn(SLEEP, os.environ)
    try:
        assert os.getsid(child.pid) == child.pid
    finally:
        end(child, 1)


def test_a_child_ends_when_its_owner_is_killed():
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE)
    child = int(owner.stdout.readline())
    assert _runs(child)
    os.kill(owner.pid, signal.SIGKILL)
    owner.communicate()
    _wait_for(lambda: not _runs(child))


def test_marked_processes_end_with_those_of_their_session_and_others_live():
    mark = secrets.token_hex(8)
    nested = [sys.executable, "-c", f"import subprocess; subprocess.run({SLEEP!r}, env={{}})"]
    marked = spawn(nested, {**os.environ, "COAT_TEST_MARK": mark})
    other = spawn(SLEEP, {**os.environ, "COAT_TEST_MARK": "other"})
    try:
        _wait_for(lambda: len(_session(marked.pid)) == 2)
        end_marked("COAT_TEST_MARK", mark)
        assert marked.wait(5) == -signal.SIGKILL
        _wait_for(lambda: not _session(marked.pid))
        assert other.poll() is None
    finally:
        end(other, 1)


def test_the_own_session_is_never_ended(monkeypatch):
    monkeypatch.setenv("COAT_TEST_MARK", "own")
    with subprocess.Popen(SLEEP, stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        end_marked("COAT_TEST_MARK", "own", seconds=1)
        assert child.poll() is None
        child.kill()


def _wait_for(condition, seconds=15):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


def _session(leader):
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        pid = int(folder.name)
        try:
            if os.getsid(pid) == leader and _runs(pid):
                found.append(pid)
        except OSError:
            continue
    return found
