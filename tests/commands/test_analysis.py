"""`coat latency`, `coat probe` and `coat inside`: what they refuse, in one sentence each."""

import pytest

CONFIG = "name: toy\nstages: [{name: one, steps: 1}]\n"


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "toy.yaml"
    path.write_text(CONFIG)
    return path


def test_latency_needs_a_model_with_a_block(coat, config):
    code, _, error = coat("latency", config, "--model", "base")
    assert code == 1
    assert "the base has no block" in error
    code, _, error = coat("latency", config, "--model", "caot")
    assert code == 1
    assert "no model 'caot'" in error


def test_probe_names_what_is_not_there(coat, config):
    code, _, error = coat("probe", config, "--model", "base", "--model", "base")
    assert (code, "each once" in error) == (1, True)


def test_inside_needs_a_block_and_a_step_needs_a_run(coat, tmp_path):
    code, _, error = coat("inside", tmp_path / "x.wav", "--model", "base")
    assert (code, "no block" in error) == (1, True)
    assert coat("inside", tmp_path / "x.wav", "--step", "3")[0] == 2
    code, _, error = coat("inside", tmp_path / "x.wav", "--run", "none")
    assert (code, "no run 'none'" in error) == (1, True)
