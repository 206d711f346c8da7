"""The probe job from its command line to its report, and what it refuses."""

import pytest

from jobs import probe

CONFIG = "name: toy\nstages: [{name: one, steps: 1}]\n"


@pytest.fixture
def config(tmp_path, coat_home):
    path = tmp_path / "toy.yaml"
    path.write_text(CONFIG)
    return path


def run(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["probe.py", *map(str, arguments)])
    probe.main()


def test_the_job_probes_and_writes_a_report(config, tmp_path, monkeypatch, capsys):
    run(monkeypatch, "--config", config, "--model", "base", "--limit", 16, "--report", tmp_path / "report")
    assert {path.name for path in (tmp_path / "report").iterdir()} == {"probes.md", "probes.json"}
    assert "Linear probes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--model", "caot"], "no model 'caot'"),
        (["--model", "base", "--model", "base"], "each once"),
        (["--model", "base", "corpus.name=/nowhere"], "no corpus '/nowhere'"),
        (["--model", "base", "corpus.nam=x"], r"did you mean 'name'\?"),
    ],
)
def test_bad_requests_end_with_a_sentence(config, monkeypatch, arguments, sentence):
    with pytest.raises(SystemExit, match=sentence):
        run(monkeypatch, "--config", config, *arguments)
