"""Tests, and what they start, work with state of their own, whatever platform the shell names."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NAMES = ("COAT_DATABASE", "COAT_PLATFORM", "COAT_API_KEY", "COAT_HOME")


def test_a_test_has_a_home_of_its_own_and_no_platform(tmp_path_factory: pytest.TempPathFactory) -> None:
    assert [name for name in os.environ if name.startswith("COAT_")] == ["COAT_HOME"]
    assert Path(os.environ["COAT_HOME"]).is_relative_to(tmp_path_factory.getbasetemp())


def test_what_the_shell_exports_reaches_no_test(tmp_path: Path) -> None:
    shell = os.environ | dict.fromkeys(NAMES, f"sqlite:///{tmp_path}/real.db")
    inner = f"{__file__}::{test_a_test_has_a_home_of_its_own_and_no_platform.__name__}"
    command = [sys.executable, "-m", "pytest", "-q", f"--basetemp={tmp_path / 'inner'}", inner]
    done = subprocess.run(command, cwd=ROOT, env=shell, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
