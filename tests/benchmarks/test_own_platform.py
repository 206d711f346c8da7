"""The platform that measurements start for themselves touches no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.own_platform import OwnPlatform


def test_a_database_that_the_shell_names_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COAT_DATABASE", f"sqlite:///{tmp_path}/real.db")
    platform = OwnPlatform(tmp_path / "home", cpus=2)
    platform.coat("keys", "create", "--role", "owner", "--local")
    assert not (tmp_path / "real.db").exists()
    assert (platform.home / "coat.db").is_file()
