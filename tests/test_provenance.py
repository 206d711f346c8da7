"""Fingerprints depend on content alone; git state follows the code into a Ray job."""

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coat_ray.config import LoraSection
from coat_ray.provenance import fingerprint, git_label, git_state, versions

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), JSON, min_size=2, max_size=5))
def test_key_order_does_not_matter(data):
    assert fingerprint(dict(reversed(data.items()))) == fingerprint(data)


@given(JSON, JSON)
def test_fingerprints_are_equal_exactly_when_the_content_is(a, b):
    assert (fingerprint(a) == fingerprint(b)) == (json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True))
    assert fingerprint([a]) != fingerprint([a, b])


def test_models_and_paths_are_plain_data():
    assert fingerprint(LoraSection()) == fingerprint(LoraSection().model_dump(mode="json"))
    assert fingerprint(Path("a/b")) == fingerprint("a/b")


def test_what_has_no_canonical_form_is_refused():
    with pytest.raises(TypeError, match="no fingerprint for a set"):
        fingerprint({1, 2})
    with pytest.raises(ValueError, match="JSON compliant"):
        fingerprint(float("nan"))


@pytest.fixture
def repository(tmp_path, monkeypatch):
    monkeypatch.delenv("COAT_GIT_COMMIT", raising=False)
    author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "-q"], [*author, "commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def test_git_state_tells_commit_and_changes(repository):
    state = git_state(repository)
    assert len(state["commit"]) == 40
    assert not state["dirty"]
    (repository / "new").write_text("")
    assert git_state(repository) == {"commit": state["commit"], "dirty": True}


def test_git_state_travels_through_the_environment(repository, monkeypatch, tmp_path_factory):
    (repository / "new").write_text("")
    here = git_state(repository)
    monkeypatch.setenv("COAT_GIT_COMMIT", git_label(repository))
    assert git_state(tmp_path_factory.mktemp("elsewhere")) == here


def test_outside_a_repository_there_is_no_git_state(tmp_path, monkeypatch):
    monkeypatch.delenv("COAT_GIT_COMMIT", raising=False)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state(tmp_path) is None
    assert git_label(tmp_path) is None


def test_versions_name_what_decides_a_result():
    assert {"python", "torch", "ray"} <= set(versions())
