"""A model that answers with what a training worker had: its GPU, and its errors as they were."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

from coat_ray.cluster import as_one_worker
from coat_ray.config import ResourcesConfig
from coat_ray.evaluation.asking.answers import EvaluationError

PROGRAM = """
import json, os
import ray
from coat_ray.cluster import as_one_worker
from coat_ray.config import ResourcesConfig
from coat_ray.evaluation.asking.answers import EvaluationError

ray.init(address="local", num_cpus=2, num_gpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
asked = ResourcesConfig(gpus_per_worker=0.5)

def refuse(device):
    raise EvaluationError("one sentence")

found = as_one_worker(asked, lambda device: [str(device), ray.get_gpu_ids(), os.getpid()])
try:
    as_one_worker(asked, refuse)
except EvaluationError as error:
    found.append(str(error))
print(json.dumps([*found, os.getpid()]))
"""


@pytest.mark.slow
def test_work_goes_to_a_process_with_the_gpu_and_its_errors_come_back_as_they_were() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    device, gpus, there, said, here = json.loads(done.stdout.splitlines()[-1])
    assert (device, gpus, said) == ("cuda", [0], "one sentence")
    assert there != here


def test_without_a_gpu_it_stays_here() -> None:
    assert as_one_worker(ResourcesConfig(), lambda device: device) == torch.device("cpu")
    with pytest.raises(EvaluationError, match=r"^one sentence$"):
        as_one_worker(ResourcesConfig(), _refuse)


def _refuse(_: torch.device) -> None:
    raise EvaluationError("one sentence")
