"""``GET /metrics``: what every node of the cluster offers to Prometheus about this platform, in one page."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable

import ray
import requests
from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from coat_ray.tenancy.roles import Role
from serve.access import Asking

logger = logging.getLogger(__name__)

OURS = re.compile(r"(?:# (?:HELP|TYPE) )?(?:ray_)?(?P<name>coat_\w+|serve_num_\w+)[ {]")
"""Of all that Ray measures: what is answered for whom, and how Serve's deployments are."""

SERIES = re.compile(r"_(bucket|sum|count)$")
"""What a histogram's samples have after its name."""

NODE_S = 3
TEXT = "text/plain; version=0.0.4; charset=utf-8"

router = APIRouter(tags=["metrics"])


@router.get("/metrics")
def metrics(asking: Asking) -> PlainTextResponse:
    """For the platform's owner: the figures name tenants."""
    with asking.recorded("metrics"):
        asking.principal.require(Role.OWNER, None, "read the platform's metrics")
    return PlainTextResponse(_page(_exporters()), media_type=TEXT)


def _exporters() -> list[str]:
    """Where Ray's agents offer the figures of their nodes."""
    if not ray.is_initialized():
        return []
    alive = (node for node in ray.nodes() if node["Alive"] and node.get("MetricsExportPort"))
    return [f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics" for node in alive]


def _page(addresses: Iterable[str]) -> str:
    """Our part of all nodes' pages: each metric once, with the samples of every node that answers."""
    found: dict[str, list[str]] = {}
    for address in addresses:
        try:
            answer = requests.get(address, timeout=NODE_S)
            answer.raise_for_status()
        except requests.RequestException as problem:
            logger.warning("no metrics from %s: %s", address, problem)
            continue
        for line in answer.text.splitlines():
            if (named := OURS.match(line)) is None:
                continue
            lines = found.setdefault(SERIES.sub("", named["name"]), [])
            if not (line.startswith("#") and line in lines):
                lines.append(line)
    return "".join(f"{line}\n" for lines in found.values() for line in sorted(lines, key=lambda line: line[0] != "#"))
