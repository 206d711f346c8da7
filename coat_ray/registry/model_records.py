"""What is known about one version of a model, and which one a name means."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from coat_ray.storage import DEFAULT_TENANT

logger = logging.getLogger(__name__)

BASE = "base"
"""Reserved name: the backbone without any adapter."""


class ModelNotFound(LookupError):
    """No model of that name or version; the message names the nearest ones."""


class ModelRecord(BaseModel):
    """One version of a trained adapter and what it was made from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tenant: str = DEFAULT_TENANT
    owner: str | None = Field(None, description="the tenant that shares it; none: it is one's own")
    name: str
    version: int = Field(ge=1)
    alias: str | None = Field(None, description="a short name; the newest model that carries it answers to it")
    base: dict[str, Any] = Field(description="the backbone's configuration")
    adapter: str = Field(
        "adapter", pattern=r"^[A-Za-z0-9][\w.-]*$", description="the adapter's folder within the version's"
    )
    lineage: dict[str, Any] = Field(default_factory=dict, description="corpus, experts and run, by fingerprint")
    scores: dict[str, Any] = Field(default_factory=dict)
    licence: str
    commercial_use: bool
    restricted_by: tuple[str, ...] = Field((), description="ingredients that forbid commercial use")
    created: str = Field(description="UTC, ISO 8601")

    @property
    def ref(self) -> str:
        """``name@version``, or ``owner/name@version`` of what another tenant shares: names exactly this version."""
        return f"{self.owner}/{self.name}@{self.version}" if self.owner else f"{self.name}@{self.version}"


def newest_first(records: Iterable[ModelRecord]) -> list[ModelRecord]:
    """Sorted as every listing is."""
    return sorted(records, key=lambda record: (record.created, record.name, record.version), reverse=True)


def find_model(ref: str, records: Sequence[ModelRecord]) -> ModelRecord:
    """What *ref* means among *records*, newest first: ``name@version``, a name (its newest version), or an alias.

    A name goes before an alias; of several versions with one alias the newest answers. ``owner/…`` in front means what
    that tenant shares.

    Raises:
        ModelNotFound: with the nearest names.
    """
    owner, slash, short = ref.rpartition("/")
    name, _, version = short.partition("@")
    theirs = [record for record in records if (record.owner or "") == owner and bool(record.owner) == bool(slash)]
    matches = [record for record in theirs if record.name == name] or [r for r in theirs if r.alias == name]
    if version:
        matches = [record for record in matches if str(record.version) == version]
    if not matches:
        raise ModelNotFound(_missing(ref, records))
    return matches[0] if version or matches[0].name != name else max(matches, key=lambda record: record.version)


def read_records(root: Path) -> Iterator[ModelRecord]:
    """Every record under a registry's folder, ``NAME/VERSION/record.json``; what lies behind a link is left out."""
    real = root.resolve()
    for path in root.glob("*/[0-9]*/record.json"):
        if path.resolve() != real / path.relative_to(root):
            logger.warning("%s is left out: it lies behind a link", path)
        elif record := read_record(path, path.parts[-3], path.parts[-2]):
            yield record


def read_record(path: Path, name: str, version: str) -> ModelRecord | None:
    """The record of *name* and *version*; None, with a warning, where it says something else or cannot be read."""
    if path.is_symlink():
        logger.warning("%s is left out: it is a link", path)
        return None
    try:
        record = ModelRecord.model_validate_json(path.read_bytes())
    except FileNotFoundError:  # removed since it was listed
        return None
    except (ValidationError, OSError) as error:
        logger.warning("%s is left out: it is not a model's record: %s", path, error)
        return None
    if (record.name, str(record.version)) != (name, version):
        logger.warning("%s is left out: it is the record of %s", path, record.ref)
        return None
    return record.model_copy(update={"owner": None})


def _missing(ref: str, records: Sequence[ModelRecord]) -> str:
    if not records:
        return f"no model {ref!r}: nothing has been trained here yet; `make train` makes the first ({BASE!r} is there)"
    known = {BASE, *(name for record in records for name in _names(record))}
    near = difflib.get_close_matches(ref, sorted(known), n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(repr(n) for n in near)}?" if near else "`coat models list` shows what there is"
    return f"no model {ref!r}; {hint}"


def _names(record: ModelRecord) -> Iterator[str]:
    prefix = f"{record.owner}/" if record.owner else ""
    yield from (prefix + name for name in (record.name, record.alias) if name)
    yield record.ref
