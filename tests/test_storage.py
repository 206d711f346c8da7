"""Files are whole or absent, and state lies where COAT_HOME says."""

from pathlib import Path

import pytest

from coat_ray.storage import Storage, atomic_write, home


def test_home_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("COAT_HOME", str(tmp_path / "state"))
    assert home() == tmp_path / "state"
    assert not home().exists()


@pytest.mark.parametrize("value", [None, ""])
def test_home_is_in_the_users_folder_otherwise(monkeypatch, tmp_path, value):
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COAT_HOME", raising=False)
    if value is not None:
        monkeypatch.setenv("COAT_HOME", value)
    assert home() == tmp_path / "user" / ".coat"


def test_the_state_of_a_repository_is_found_anywhere_inside_it(monkeypatch, tmp_path):
    monkeypatch.delenv("COAT_HOME", raising=False)
    (tmp_path / "repository" / ".coat").mkdir(parents=True)
    (tmp_path / "repository" / "jobs").mkdir()
    monkeypatch.chdir(tmp_path / "repository" / "jobs")
    assert home() == tmp_path / "repository" / ".coat"


def test_tenants_have_folders_of_their_own(tmp_path):
    storage = Storage(tmp_path)
    assert storage.runs("a") != storage.runs("b")
    assert storage.models() == tmp_path / "models" / "default"


def test_a_root_holds_what_lies_in_it_and_nothing_behind_a_link(tmp_path):
    ours, theirs = Storage(tmp_path / "ours"), Storage(tmp_path / "theirs")
    atomic_write(theirs.models() / "a", "secret")
    atomic_write(ours.models() / "b", "own")
    (ours.models() / "a").symlink_to(theirs.models() / "a")
    (ours.root / "runs").symlink_to(theirs.root)
    assert ours.holds(ours.models() / "b")
    for place in ("models/default/a", "runs/models/default/a", "models/../../theirs/models/default/a"):
        assert (ours.root / place).read_text() == "secret"
        assert not ours.holds(ours.root / place)


def test_a_root_that_is_a_link_itself_holds_its_files(tmp_path):
    atomic_write(tmp_path / "disk" / "a", "own")
    (tmp_path / "home").symlink_to(tmp_path / "disk")
    assert Storage(tmp_path / "home").holds(tmp_path / "home" / "a")


@pytest.mark.parametrize("data", ["text ä", b"\x00\xff"])
def test_writing_makes_missing_folders_and_replaces(tmp_path, data):
    path = tmp_path / "deep" / "file"
    atomic_write(path, b"old")
    atomic_write(path, data)
    assert path.read_bytes() == (data.encode() if isinstance(data, str) else data)


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    path = tmp_path / "file"
    atomic_write(path, "old")
    monkeypatch.setattr(Path, "replace", _fail)
    with pytest.raises(OSError, match="no space"):
        atomic_write(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_others_may_read_what_a_plain_open_would_let_them_read(tmp_path):
    plain, atomic = tmp_path / "plain", tmp_path / "atomic"
    plain.write_text("")
    atomic_write(atomic, "")
    assert atomic.stat().st_mode == plain.stat().st_mode


def _fail(*args):
    raise OSError("no space")
