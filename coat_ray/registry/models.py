"""Records of models: ``models/<tenant>/<name>/<version>/`` holds ``record.json`` and the adapter's files.

A version appears whole or not at all: it is filled under a temporary name and renamed into place. Its number is never
given again. Links are not followed, but for those of :attr:`Storage.shared`: what other tenants share, to be read only.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from coat_ray.registry.licences import Ingredient, inherit
from coat_ray.registry.model_records import (
    BASE,
    ModelNotFound,
    ModelRecord,
    find_model,
    newest_first,
    read_record,
    read_records,
)
from coat_ray.storage import DEFAULT_TENANT, Storage, atomic_write, locked, sync_folder

__all__ = ["BASE", "ModelNotFound", "ModelRecord", "ModelRefused", "ModelRegistry"]


class ModelRefused(ValueError):
    """A name or a change that a model cannot have; the message is a sentence for whoever asked."""


RECORD = "record.json"

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


class ModelRegistry:
    """The models of one tenant."""

    def __init__(self, storage: Storage, tenant: str = DEFAULT_TENANT) -> None:
        self.tenant = tenant
        self._root = storage.models(tenant)
        self._shared = storage.shared / "models"

    def folder(self, record: ModelRecord) -> Path:
        """Folder of one version."""
        shelves = self._shared / record.owner if record.owner else self._root
        return shelves / record.name / str(record.version)

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
        """Merge new scores into a record; but for them and its alias a record never changes.

        Raises:
            ModelRefused: another tenant's.
            ModelNotFound: it was removed.
        """
        with self._changing(record) as current:
            return self._write(current.model_copy(update={"scores": {**current.scores, **scores}}))

    def alias(self, ref: str, alias: str | None) -> ModelRecord:
        """Let *alias* mean exactly the version that *ref* means, or with None take its alias from it.

        The alias leaves every other version. A version has one alias at most. A model that is added later with the
        same alias takes it over.

        Raises:
            ModelNotFound: with the nearest names.
            ModelRefused: another tenant's, or an alias that cannot be one or is a model's name.
        """
        records = self.list()
        if alias is not None:
            _check_name(alias)
            if any(record.name == alias for record in records):
                raise ModelRefused(f"{alias!r} is the name of a model, which goes before any alias; choose another")
        with self._changing(self.resolve(ref)) as current:
            changed = self._write(current.model_copy(update={"alias": alias}))
            for other in self.list() if alias else ():  # afterwards, so that the alias means something all the time
                if other.alias == alias and other.ref != changed.ref:
                    self._write(other.model_copy(update={"alias": None}))
        return changed

    def remove(self, record: ModelRecord) -> None:
        """Remove one version. Its empty folder stays, so that no later model gets its number.

        Raises:
            ModelRefused: another tenant's.
            ModelNotFound: it was removed.
        """
        shutil.rmtree(self.set_aside(record))

    def set_aside(self, record: ModelRecord) -> Path:
        """Let one version be no more by renames alone; gives the folder of its files, to delete or to `put_back`.

        Raises:
            ModelRefused: another tenant's.
            ModelNotFound: it was removed.
        """
        with self._changing(record) as current:
            folder = self.folder(current)
            aside = Path(tempfile.mkdtemp(prefix=".removed-", dir=folder.parent))
            _move_record_and_files(folder, aside)
        return aside

    def put_back(self, record: ModelRecord, aside: Path) -> None:
        """Undo :meth:`set_aside`."""
        files = [path for path in aside.iterdir() if path.name != RECORD]
        for path in (*files, aside / RECORD):  # the record last: with it the version is there
            path.rename(self.folder(record) / path.name)
        aside.rmdir()

    def list(self, *, shared: bool = False) -> list[ModelRecord]:
        """Every version of every model, newest first; with *shared*, also what other tenants share (``owner`` set)."""
        found = list(read_records(self._root))
        if shared and self._shared.is_dir():
            for place in self._shared.glob("*/*/[0-9]*"):
                owner, name, version = place.relative_to(self._shared).parts
                record = read_record(place / RECORD, name, version)
                found += [record.model_copy(update={"owner": owner})] if record else []
        return newest_first(found)

    def resolve(self, ref: str) -> ModelRecord:
        """The model that *ref* means, as :func:`find_model` says; one with an owner among what is shared.

        Raises:
            ModelNotFound: with the nearest names.
        """
        return find_model(ref, self.list(shared="/" in ref))

    @contextmanager
    def _changing(self, record: ModelRecord) -> Iterator[ModelRecord]:
        """The record as it lies there now, while nobody else changes one."""
        if record.owner:
            raise ModelRefused(f"{record.ref} is shared to be read; only {record.owner} changes it")
        self._root.mkdir(parents=True, exist_ok=True)
        with locked(self._root / ".changing"):
            yield find_model(record.ref, self.list())

    def _write(self, record: ModelRecord) -> ModelRecord:
        atomic_write(self.folder(record) / RECORD, _to_json(record))
        return record

    def _versions(self, name: str) -> Sequence[int]:
        return [int(path.name) for path in (self._root / name).glob("[0-9]*") if path.name.isdecimal()]

    def _publish(self, record: ModelRecord, adapter: Path) -> ModelRecord:
        shelf = self._root / record.name
        if shelf.is_symlink():
            raise ValueError(f"{shelf} is a link; models are not written through links")
        shelf.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".adding-", dir=shelf))
        try:
            shutil.copytree(adapter, staging / record.adapter)
            while True:
                atomic_write(staging / RECORD, _to_json(record))
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


def _move_record_and_files(folder: Path, target: Path) -> None:
    """The record first: without it the version is gone."""
    (folder / RECORD).rename(target / RECORD)
    for path in folder.iterdir():
        path.rename(target / path.name)


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
        raise ModelRefused(
            f"{name!r} cannot name a model: lower-case letters, digits, - and _, at most 63, and not {BASE!r}"
        )
