"""Records of models: ``models/<tenant>/<name>/<version>/`` holds ``record.json`` and the adapter's files.

A version appears whole or not at all: it is filled under a temporary name and renamed into place.
"""

from __future__ import annotations

import difflib
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from coat_ray.registry.licences import Ingredient, inherit
from coat_ray.storage import DEFAULT_TENANT, Storage, atomic_write, sync_folder

BASE = "base"
"""Reserved name: the backbone without any adapter."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


class ModelNotFound(LookupError):
    """No model of that name or version; the message names the nearest ones."""


class ModelRecord(BaseModel):
    """One version of a trained adapter and what it was made from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tenant: str = DEFAULT_TENANT
    name: str
    version: int = Field(ge=1)
    alias: str | None = Field(None, description="a short name; the newest model that carries it answers to it")
    base: dict[str, Any] = Field(description="the backbone's configuration")
    adapter: str = Field("adapter", description="folder of the adapter, relative to the version's folder")
    lineage: dict[str, Any] = Field(default_factory=dict, description="corpus, experts and run, by fingerprint")
    scores: dict[str, Any] = Field(default_factory=dict)
    licence: str
    commercial_use: bool
    restricted_by: tuple[str, ...] = Field((), description="ingredients that forbid commercial use")
    created: str = Field(description="UTC, ISO 8601")

    @property
    def ref(self) -> str:
        """``name@version``, which names exactly this version."""
        return f"{self.name}@{self.version}"


class ModelRegistry:
    """The models of one tenant."""

    def __init__(self, storage: Storage, tenant: str = DEFAULT_TENANT) -> None:
        self.tenant = tenant
        self._root = storage.models(tenant)

    def folder(self, record: ModelRecord) -> Path:
        """Folder of one version."""
        return self._root / record.name / str(record.version)

    def adapter_folder(self, record: ModelRecord) -> Path:
        """Folder with the adapter's weights."""
        return self.folder(record) / record.adapter

    def add(
        self,
        name: str,
        adapter: Path,
        *,
        base: dict[str, Any],
        ingredients: Iterable[Ingredient],
        alias: str | None = None,
        lineage: dict[str, Any] | None = None,
        scores: dict[str, Any] | None = None,
    ) -> ModelRecord:
        """Copy *adapter* (a folder) in as the next version of *name*; its terms follow from *ingredients*.

        Raises:
            ValueError: a name that cannot be a model's, or an ingredient without a licence.
        """
        _check_name(name)
        if alias is not None:
            _check_name(alias)
        terms = inherit(ingredients)
        record = ModelRecord(
            tenant=self.tenant,
            name=name,
            version=1 + max(self._versions(name), default=0),
            alias=alias,
            base=base,
            lineage=lineage or {},
            scores=scores or {},
            licence=terms.licence,
            commercial_use=terms.commercial_use,
            restricted_by=terms.because,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        return self._publish(record, adapter)

    def update(self, record: ModelRecord, *, scores: dict[str, Any]) -> ModelRecord:
        """Merge new scores into a record; the rest of a record never changes."""
        changed = record.model_copy(update={"scores": {**record.scores, **scores}})
        atomic_write(self.folder(record) / "record.json", _to_json(changed))
        return changed

    def list(self) -> list[ModelRecord]:
        """Every version of every model, newest first."""
        found = (ModelRecord.model_validate_json(path.read_bytes()) for path in self._root.glob("*/[0-9]*/record.json"))
        return sorted(found, key=lambda record: (record.created, record.name, record.version), reverse=True)

    def resolve(self, ref: str) -> ModelRecord:
        """The model that *ref* means: ``name@version``, a name (its newest version), or an alias (the newest model).

        Raises:
            ModelNotFound: with the nearest names.
        """
        records = self.list()
        name, _, version = ref.partition("@")
        matches = [record for record in records if record.name == name] or [
            record for record in records if record.alias == name
        ]
        if version:
            matches = [record for record in matches if str(record.version) == version]
        if not matches:
            raise ModelNotFound(_missing(ref, records))
        return matches[0] if version or matches[0].name != name else max(matches, key=lambda record: record.version)

    def _versions(self, name: str) -> Sequence[int]:
        return [int(path.name) for path in (self._root / name).glob("[0-9]*") if path.name.isdecimal()]

    def _publish(self, record: ModelRecord, adapter: Path) -> ModelRecord:
        shelf = self._root / record.name
        shelf.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".adding-", dir=shelf))
        try:
            shutil.copytree(adapter, staging / record.adapter)
            while True:
                atomic_write(staging / "record.json", _to_json(record))
                staging.chmod(0o755)
                _sync_tree(staging)
                target = self.folder(record)
                if not target.exists():
                    try:
                        staging.rename(target)
                        break
                    except OSError:
                        if not target.exists():
                            raise
                record = record.model_copy(update={"version": record.version + 1})
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        sync_folder(shelf)
        return record


def _to_json(record: ModelRecord) -> str:
    return record.model_dump_json(indent=2) + "\n"


def _sync_tree(folder: Path) -> None:
    """Flush every file of a copied folder, so that the rename never outlives its content."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or name == BASE:
        raise ValueError(
            f"{name!r} cannot name a model: lower-case letters, digits, - and _, at most 63, and not {BASE!r}"
        )


def _missing(ref: str, records: Sequence[ModelRecord]) -> str:
    if not records:
        return f"no model {ref!r}: nothing has been trained here yet; `make train` makes the first ({BASE!r} is there)"
    known = {BASE, *(r.name for r in records), *(r.alias for r in records if r.alias), *(r.ref for r in records)}
    near = difflib.get_close_matches(ref, sorted(known), n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(repr(n) for n in near)}?" if near else "`coat models list` shows what there is"
    return f"no model {ref!r}; {hint}"
