"""The main job on a GPU: experts in pools that share it, NCCL, the comparison where training was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

SHORT = (
    "stages.0.steps=20",
    "stages.1.steps=30",
    "training.log_every=10",
    "evaluation.max_rows_per_task=10",
    "evaluation.disturbed_rows_per_task=5",
    "resources.train_workers=1",
    "resources.gpus_per_worker=1",
    "resources.encode_gpus=0.25",
    "resources.encode_cpus=1",
)


def test_the_main_job_trains_and_compares_on_a_gpu(tmp_path: Path) -> None:
    command = [sys.executable, "jobs/train.py", "--config", "jobs/configs/embedded.yaml", *SHORT]
    environment = {**os.environ, "COAT_HOME": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert "report:" in done.stdout
    lines = [json.loads(line) for file in tmp_path.rglob("metrics.jsonl") for line in file.read_text().splitlines()]
    assert len(lines) == 2 * 5
    assert all(line["peak_gpu_mib"] > 0 for line in lines)
