"""What Ray Serve says of its applications, as one line each."""

from __future__ import annotations

from typing import Any

import pytest

from coat_ray.local.cluster import LocalCluster


def _deployment(status: str, message: str) -> dict[str, Any]:
    return {"status": status, "message": message}


@pytest.mark.parametrize(
    ("deployments", "line"),
    [
        (
            {
                "models": _deployment("UPDATING", "1 replica takes long to start.\nIt may be slow."),
                "engine": _deployment("DEPLOY_FAILED", "Traceback …\nValueError: no such base\n"),
            },
            "ValueError: no such base",
        ),
        ({"models": _deployment("UPDATING", ""), "engine": _deployment("UPDATING", "")}, "it is deployed"),
        ({"engine": _deployment("DEPLOY_FAILED", "")}, "it is deployed"),
        (
            {
                "engine": _deployment(
                    "DEPLOY_FAILED",
                    "Traceback …\n1 error for Limits\nrank\n  Input should be 1 or 8\n"
                    "    For further information visit https://errors.pydantic.dev/",
                )
            },
            "rank: Input should be 1 or 8",
        ),
        ({}, "it is deployed"),
    ],
)
def test_the_reason_is_that_of_the_deployment_that_failed(
    deployments: dict[str, Any], line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = {"status": "DEPLOYING", "message": "it is deployed", "deployments": deployments}
    monkeypatch.setattr(LocalCluster, "_ask", lambda self, path: {"applications": {"models": models}})
    cluster = object.__new__(LocalCluster)  # without a Ray
    assert cluster.applications() == {"models": ("DEPLOYING", line)}
