"""`make env` on a machine that lacks something: one clear line, and nothing half-made that counts as done."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "repository"
    (folder / "scripts").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "scripts/make_env.sh"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def _make(folder, *arguments, prefix=(), **variables):
    outside = {key: value for key, value in os.environ.items() if key not in ("MAKELEVEL", "MAKEFLAGS", "MFLAGS")}
    done = subprocess.run(
        [*prefix, "make", "--no-print-directory", "env", *arguments],
        cwd=folder,
        env={**outside, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stderr.splitlines() if not line.startswith("make: ")]
    assert not (folder / ".venv" / ".complete").exists()
    assert done.returncode != 0
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_an_old_python_is_named(repository, tmp_path):
    old = tmp_path / "python3.9"
    old.write_text('#!/bin/sh\ncase "$2" in *print*) echo "$3 is Python 3.9";; *) exit 1;; esac\n')
    old.chmod(0o755)
    line = _make(repository, f"PYTHON={old}")
    assert line.startswith(f"make env: needs Python 3.11 or 3.12, and {old} is Python 3.9;")


def test_a_python_that_is_not_there_is_named(repository):
    assert "/nowhere/python does not run" in _make(repository, "PYTHON=/nowhere/python")


@pytest.mark.slow
def test_without_an_index_the_connection_is_named(repository):
    offline = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_EXTRA_INDEX_URL": "", "PIP_FIND_LINKS": ""}
    line = _make(repository, f"PYTHON={sys.executable}", PIP_CONFIG_FILE=os.devnull, PIP_NO_CACHE_DIR="1", **offline)
    assert line.startswith("make env: no connection to a package index;")


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_without_write_access_the_folder_is_named(repository):
    repository.chmod(0o555)
    try:
        assert "no permission to write in" in _make(repository, f"PYTHON={sys.executable}")
    finally:
        repository.chmod(0o755)


def test_constraints_are_exact_and_name_no_place():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line) for line in lines)
    pinned = dict(line.lower().split("==") for line in lines)
    assert len(pinned) == len(lines)
    assert (pinned["torch"], pinned["ray"], pinned["transformers"]) == ("2.13.0", "2.60.0", "5.23.0")
