"""What a configuration asks of the cluster: the larger of its phases, or both where they run at once."""

from __future__ import annotations

from typing import Any

import pytest

from coat_ray.config import RunConfig
from coat_ray.leasing.footprint import SERVICE_CPUS, resources_of


def wanted(**resources: Any) -> tuple[float, float]:
    config = RunConfig.model_validate(
        {
            "name": "trial",
            "stages": [{"name": "one", "steps": 2}],
            "experts": {"pitch": {"model": "basic_pitch"}, "sed": {"model": "panns"}},
            "resources": resources,
        }
    )
    found = resources_of(config)
    return found.cpus - SERVICE_CPUS, found.gpus


@pytest.mark.parametrize(
    ("resources", "cpus", "gpus"),
    [
        ({"train_workers": 2}, 2, 0),
        ({"train_workers": 1, "encode_actors": 8}, 4, 0),  # 8 shared actors of half a CPU
        ({"train_workers": 4, "gpus_per_worker": 1, "cpus_per_worker": 4}, 16, 4),
        ({"train_workers": 1, "encode_actors": 4, "encode_gpus": 0.25}, 5, 2),  # 2 x 4 actors, 2 that decode
        ({"train_workers": 2, "encode_actors": 2, "stream_targets": True}, 5, 0),  # 2 workers with 1 + 1 + 1 CPUs
        ({"train_workers": 4, "encode_actors": 2, "stream_targets": True}, 11, 0),
    ],
)
def test_the_footprint_of_a_run(resources: dict[str, Any], cpus: float, gpus: float) -> None:
    assert wanted(**resources) == (cpus, gpus)
