"""Links and paths that a tenant's job may leave in its own records lead the API to no other tenant's files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from coat_ray.config import RunConfig, validate
from coat_ray.registry.metrics import append_metrics
from coat_ray.registry.runs import RunRegistry
from tests.serve.conftest import CONFIG, World


def rows(world: World, run: str, who: str = "stranger") -> dict[str, list[dict[str, float]]]:
    return world.ask("GET", f"/runs/{run}/metrics", who).json()["data"]


@pytest.fixture
def secret(world: World) -> Path:
    """Metrics of the tenant speech."""
    file = world.platform.storage.tenant("speech").runs() / "hidden" / "metrics.jsonl"
    append_metrics(file, {"step": 1, "ce": 0.25})
    return file


@pytest.fixture
def ours(world: World) -> tuple[str, RunRegistry, Path]:
    """A run of the tenant music, its registry and the folder of its record."""
    run = world.submit("stranger")
    registry = RunRegistry(world.platform.storage.tenant("music"))
    record = registry.create(validate(CONFIG, RunConfig, origin="test"), "coat")
    return run, registry, registry.folder(record.id)


def test_a_runs_own_metrics_are_read(world: World, ours: tuple[str, RunRegistry, Path]) -> None:
    run, _, folder = ours
    append_metrics(folder / "metrics.jsonl", {"step": 1, "ce": 2.5})
    assert rows(world, run) == {"coat": [{"step": 1, "ce": 2.5}]}


@pytest.mark.parametrize("level", ["file", "folder", "registry"])
def test_metrics_behind_a_link_are_not_read(
    world: World, secret: Path, ours: tuple[str, RunRegistry, Path], level: str
) -> None:
    run, _, folder = ours
    record = (folder / "record.json").read_text()
    if level == "file":
        (folder / "metrics.jsonl").symlink_to(secret)
    elif level == "folder":
        (secret.parent / "record.json").write_text(record)
        folder.rename(folder.with_name(".away"))
        folder.symlink_to(secret.parent)
    else:
        theirs = secret.parents[1] / folder.name
        secret.parent.rename(theirs)
        (theirs / "record.json").write_text(record)
        folder.parent.rename(folder.parent.with_name("away"))
        folder.parent.symlink_to(theirs.parent)
    assert rows(world, run) == {"coat": []}


def test_a_record_that_calls_itself_a_path_leads_nowhere(
    world: World, secret: Path, ours: tuple[str, RunRegistry, Path]
) -> None:
    run, _, folder = ours
    way = "../../../speech/runs/default/hidden"
    assert (folder.parent / way / "metrics.jsonl").resolve() == secret.resolve()
    record = json.loads((folder / "record.json").read_text()) | {"id": way}
    (folder / "record.json").write_text(json.dumps(record))
    assert rows(world, run) == {"coat": []}
