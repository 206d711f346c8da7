"""`python jobs/evaluate.py` refuses what cannot work with one sentence and a failing exit code."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from coat_ray.corpus.builtin import MANIFESTS
from coat_ray.corpus.manifest import write_manifest

JOB = Path(__file__).parents[2] / "jobs" / "evaluate.py"


@pytest.fixture
def config(tmp_path: Path, coat_home: Path, rows) -> Path:
    for manifest in MANIFESTS:
        write_manifest(rows, tmp_path / manifest)
    path = tmp_path / "run.yaml"
    path.write_text(f"name: toy\ncorpus: {{name: {tmp_path}}}\nstages: [{{name: one, steps: 1}}]\n")
    return path


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--model", "base", "--model", "caot"], "no model 'caot'"),
        (["--model", "base", "--model", "base"], "each once"),
        (["--model", "base", "--minus", "sft"], "add --model sft"),
        (["--model", "base", "evaluation.batch_row=3"], r"did you mean 'batch_rows'\?"),
        (["--model", "base", "corpus.name=/nowhere"], "no corpus '/nowhere'"),
        (["--model", "base", "backbone.family=qwen9"], "'qwen9' is not one of"),
    ],
)
def test_bad_requests_end_with_a_sentence(config, coat_home, monkeypatch, arguments, sentence) -> None:
    monkeypatch.setattr(sys, "argv", [str(JOB), "--config", str(config), *arguments])
    with pytest.raises(SystemExit, match=sentence):
        runpy.run_path(str(JOB), run_name="__main__")
    assert not list(coat_home.rglob("evaluations"))


def test_a_missing_configuration_fails_the_job(tmp_path: Path) -> None:
    command = [sys.executable, str(JOB), "--config", str(tmp_path / "none.yaml"), "--model", "base"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("no configuration file at")
    assert "Traceback" not in done.stderr
