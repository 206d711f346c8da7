"""A sweep as a job on a real Ray: trials side by side, a report, and nothing done twice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from coat_ray.config import RunConfig, load_config
from sweeps.results import TrialResult, read_results

ROOT = Path(__file__).parents[2]
SWEEP = """
name: trial
run: jobs/configs/embedded.yaml
set:
  - arms=[sft]
  - stages.0.steps=4
  - stages.1.steps=4
  - training.batch_rows=4
  - training.log_every=2
  - resources.train_workers=1
space:
  optim.lr: {choice: [0.001, 0.00001]}
stopping: {kind: asha, rungs: [0.5], reduction: 2}
objective: {metric: score, rows_per_task: 2}
resources: {concurrency: 2}
"""

pytestmark = pytest.mark.slow


def swept(folder: Path) -> str:
    file = folder / "sweep.yaml"
    file.write_text(SWEEP)
    done = subprocess.run(
        [sys.executable, "-m", "coat_ray.local.job", "python", "sweeps/run.py", "--config", str(file)],
        cwd=ROOT,
        env={**os.environ, "COAT_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def results(folder: Path) -> dict[str, TrialResult]:
    [found] = folder.glob("home/sweeps/*/trials.jsonl")
    return {result.trial: result for result in read_results(found)}


def test_a_sweep_reports_its_trials_and_the_same_command_trains_nothing_again(tmp_path: Path) -> None:
    said = swept(tmp_path)
    first = results(tmp_path)
    assert {result.state for result in first.values()} <= {"done", "stopped"}
    assert {result.curve[0][0] for result in first.values()} == {4}
    assert [result for result in first.values() if result.state == "done" and result.curve[-1][0] == 8]
    assert "2/2" in said
    [best] = tmp_path.glob("home/sweeps/*/best.yaml")
    assert load_config(best, RunConfig).total_steps == 8
    assert (best.parent / "report.html").stat().st_size > 1000
    logs = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("metrics.jsonl")}
    swept(tmp_path)
    assert results(tmp_path) == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("metrics.jsonl")} == logs
