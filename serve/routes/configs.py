"""What a training or a sweep may be made of: the configurations that ship, and their schema. For forms."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal

from fastapi import APIRouter

from coat_ray.config import RunConfig, SweepConfig, load_config
from serve.access import Asking

router = APIRouter(prefix="/configs", tags=["configs"])

ROOT = Path(__file__).resolve().parents[2]
Kind = Literal["run", "sweep"]
_MODELS: dict[Kind, type[RunConfig | SweepConfig]] = {"run": RunConfig, "sweep": SweepConfig}
_FOLDERS: dict[Kind, Path] = {"run": ROOT / "jobs" / "configs", "sweep": ROOT / "sweeps" / "configs"}


@router.get("")
def shipped(asking: Asking) -> dict[str, Any]:  # noqa: ARG001 - a key is needed, whose does not matter
    """Every configuration that ships, whole, with the sentences at its head. A sweep has its run in it."""
    return {"data": [entry for kind in _FOLDERS for entry in _shipped(kind)]}


@router.get("/schema/{kind}")
def schema(kind: Kind, asking: Asking) -> dict[str, Any]:  # noqa: ARG001
    """The JSON schema of a run's or a sweep's configuration."""
    return _MODELS[kind].model_json_schema()


@cache
def _shipped(kind: Kind) -> list[dict[str, Any]]:
    return [_entry(kind, path) for path in sorted(_FOLDERS[kind].glob("*.yaml"))]


def _entry(kind: Kind, path: Path) -> dict[str, Any]:
    lines = path.read_text().splitlines()
    head = [line.lstrip("# ") for line in lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))]]
    config = load_config(path, _MODELS[kind]).model_dump(mode="json", exclude_unset=True)
    if isinstance(config.get("run"), str):
        config["run"] = load_config(ROOT / config["run"], RunConfig).model_dump(mode="json", exclude_unset=True)
    return {"kind": kind, "name": path.stem, "about": " ".join(head), "config": config}
