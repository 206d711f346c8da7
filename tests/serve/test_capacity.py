"""What is left for runs beside what serving holds."""

from __future__ import annotations

from typing import Any

import pytest

from coat_ray.tenancy.scheduling.demand import Resources
from serve.capacity import LOOK_EVERY_S, Capacity, held

HAS = {"CPU": 16.0, "GPU": 4.0, "memory": 1e9}


def details(*deployments: tuple[dict[str, Any], int]) -> dict[str, Any]:
    """As Serve's own account of itself, cut to what is read of it."""
    each = {
        str(i): {"deployment_config": config, "replicas": [{"state": "RUNNING"}] * replicas}
        for i, (config, replicas) in enumerate(deployments)
    }
    return {"applications": {"models": {"deployments": each}, "page": {"deployments": {}}}}


@pytest.mark.parametrize(
    ("config", "replicas", "expected"),
    [
        ({"ray_actor_options": {"num_cpus": 0.0}}, 3, Resources(0, 0)),
        ({"ray_actor_options": {"num_cpus": 0.5, "num_gpus": 1.0}}, 2, Resources(1, 2)),
        ({"ray_actor_options": {"num_gpus": 1}}, 1, Resources(1, 1)),  # Serve takes one CPU where nothing is said
        ({}, 2, Resources(2, 0)),
        (
            {
                "ray_actor_options": {"num_cpus": 1.0},
                "placement_group_bundles": [{"CPU": 1.0}, {"CPU": 2.0, "GPU": 1.0}],
            },
            2,
            Resources(6, 2),
        ),
        ({"ray_actor_options": {"num_gpus": 1}}, 0, Resources(0, 0)),
    ],
)
def test_replicas_hold_what_their_deployment_says(config: dict[str, Any], replicas: int, expected: Resources) -> None:
    assert held(details((config, replicas))) == expected


def looked(cluster: dict[str, float], said: dict[str, Any]) -> Resources:
    capacity = Capacity(lambda: cluster, lambda: said)
    capacity.look()
    return capacity()


def test_what_replicas_hold_is_not_there_for_runs_and_never_less_than_nothing() -> None:
    one = details(({"ray_actor_options": {"num_cpus": 2, "num_gpus": 1}}, 3))
    assert looked(HAS, one) == Resources(10, 1)
    assert looked({"CPU": 4.0}, one) == Resources(0, 0)


def test_serve_is_asked_from_time_to_time_and_the_last_answer_counts_where_it_gives_none() -> None:
    now, answers = 0.0, [details(({"ray_actor_options": {"num_gpus": 1}}, 1))]
    capacity = Capacity(lambda: HAS, answers.pop, lambda: now)
    capacity.look()
    capacity.look()  # nobody is asked: there is no further answer
    assert capacity() == Resources(15, 3)
    now += LOOK_EVERY_S
    with pytest.raises(IndexError):
        capacity.look()
    assert capacity() == Resources(15, 3)
    answers.append(details())
    capacity.look()
    assert capacity() == Resources(16, 4)


def test_nothing_is_known_before_serve_has_answered() -> None:
    answers: list[dict[str, Any]] = []
    capacity = Capacity(lambda: HAS, answers.pop)
    with pytest.raises(IndexError):
        capacity.look()
    assert not capacity.known
    answers.append(details())
    capacity.look()
    assert capacity.known
