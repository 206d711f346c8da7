"""Records of runs: one folder per run with ``record.json`` and ``metrics.jsonl``, safe against ``kill -9``.

A run is identified by what decides its result (configuration without the sections in ``NOT_IDENTITY``;
arm; parents), so that the same experiment started again is found and continued, never doubled.
"""

from __future__ import annotations

import difflib
import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from coat_ray.config import RunConfig
from coat_ray.provenance import fingerprint, git_state, versions
from coat_ray.storage import DEFAULT_TENANT, Storage, atomic_write

logger = logging.getLogger(__name__)

RunState = Literal["created", "running", "interrupted", "failed", "done"]

NOT_IDENTITY = frozenset({"resources", "arms", "name", "evaluation", "tracking", "deepspeed"})
"""Sections that may change without making it another run."""

NOT_IDENTITY_IN_TRAINING = frozenset(
    {
        *("micro_tokens", "activation_checkpointing", "compile_layers"),
        *("skip_nonfinite", "checkpoint_every", "snapshot_every", "log_every"),
    }
)
"""How training is carried out. Results are the same, to rounding where sums are taken in another order; with dropout,
micro_tokens and the number of workers also decide what is dropped."""


class RunNotFound(LookupError):
    """No run of that id; the message names the nearest ones."""


class RunDamaged(ValueError):
    """A file that is not the record of a run."""


class RunRecord(BaseModel):
    """What a run was, where it came from and what came out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    tenant: str = DEFAULT_TENANT
    name: str
    arm: str
    config: dict[str, Any]
    fingerprint: str
    parents: dict[str, str] = Field(default_factory=dict, description="what went in: name -> fingerprint")
    git: dict[str, Any] | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    seed: int
    created: str = Field(description="UTC, ISO 8601")
    state: RunState = "created"
    result: dict[str, Any] = Field(default_factory=dict)


def identity(config: RunConfig, arm: str, parents: Mapping[str, str] | None = None) -> str:
    """Fingerprint of what decides the result of one arm."""
    data = config.model_dump(mode="json", exclude=set(NOT_IDENTITY))
    for key in NOT_IDENTITY_IN_TRAINING:
        del data["training"][key]
    return fingerprint({"config": data, "arm": arm, "parents": dict(parents or {})})


class RunRegistry:
    """The runs of one tenant."""

    def __init__(self, storage: Storage, tenant: str = DEFAULT_TENANT) -> None:
        self.tenant = tenant
        self._root = storage.runs(tenant)

    def folder(self, run_id: str) -> Path:
        """Folder of a run; checkpoints and reports of the run belong there too."""
        return self._root / run_id

    def metrics(self, run_id: str) -> Path:
        """The run's ``metrics.jsonl``."""
        return self.folder(run_id) / "metrics.jsonl"

    def create(self, config: RunConfig, arm: str, parents: Mapping[str, str] | None = None) -> RunRecord:
        """Record a run, or give back the record that the same experiment already has."""
        digest = identity(config, arm, parents)
        run_id = f"{config.name}-{arm}-{digest[:8]}"
        try:
            return self.find(run_id)
        except RunNotFound:
            record = RunRecord(
                id=run_id,
                tenant=self.tenant,
                name=config.name,
                arm=arm,
                config=config.model_dump(mode="json"),
                fingerprint=digest,
                parents=dict(parents or {}),
                git=git_state(),
                versions=versions(),
                seed=config.seed,
                created=datetime.now(UTC).isoformat(timespec="seconds"),
            )
            self._write(record)
            return record

    def find(self, run_id: str) -> RunRecord:
        """The record of a run.

        Raises:
            RunDamaged: its record cannot be read.
            RunNotFound: no such run; a folder whose record was never written counts as none.
        """
        path = self._root / run_id / "record.json"
        if "/" in run_id or run_id.startswith(".") or not path.is_file():
            raise RunNotFound(self._missing(run_id))
        return _read(path)

    def list(self) -> list[RunRecord]:
        """Every run, newest first; a record that cannot be read is left out, with a warning."""
        records = filter(None, map(_read_or_warn, self._root.glob("[!.]*/record.json")))
        return sorted(records, key=lambda record: (record.created, record.id), reverse=True)

    def update(self, run_id: str, *, state: RunState | None = None, result: dict[str, Any] | None = None) -> RunRecord:
        """Write a new state, merge new results, or both; the rest of a record never changes."""
        record = self.find(run_id)
        changed = record.model_copy(
            update={"state": state or record.state, "result": {**record.result, **(result or {})}}
        )
        self._write(changed)
        return changed

    def _write(self, record: RunRecord) -> None:
        atomic_write(self.folder(record.id) / "record.json", record.model_dump_json(indent=2) + "\n")

    def _missing(self, run_id: str) -> str:
        known = sorted(path.parent.name for path in self._root.glob("[!.]*/record.json"))
        near = difflib.get_close_matches(run_id, known, n=3, cutoff=0.3)
        hint = f"the nearest are {', '.join(near)}" if near else "`coat runs list` shows what there is"
        return f"no run {run_id!r}; {hint}"


def _read_or_warn(path: Path) -> RunRecord | None:
    try:
        return _read(path)
    except FileNotFoundError:  # removed since it was listed
        return None
    except (RunDamaged, OSError) as error:
        logger.warning("%s is left out: %s", path, error)
        return None


def _read(path: Path) -> RunRecord:
    try:
        return RunRecord.model_validate_json(path.read_bytes())
    except (ValidationError, json.JSONDecodeError) as error:
        raise RunDamaged(f"{path} is not a run record: {error}") from error
