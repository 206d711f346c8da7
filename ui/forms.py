"""A form from a configuration's own JSON schema: fields for what is changed most, the rest as it stands."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

COMMON: dict[str, tuple[str, ...]] = {
    "run": (
        "name", "seed", "arms", "corpus.name", "stages.0.steps", "stages.1.steps", "training.batch_rows", "optim.lr",
        "optim.head_lr", "lora.rank", "projector.kind", "resources.train_workers", "evaluation.compare",
    ),
    "sweep": ("name", "search.trials", "search.seed", "objective.rows_per_task", "resources.concurrency"),
}  # fmt: skip
"""Paths that have a field, where the chosen configuration has them or their default."""

Schema = Mapping[str, Any]


@dataclass(frozen=True)
class Field:
    """One field: where its value stands, what the schema says about it, and the value to begin with."""

    path: str
    kind: Literal["number", "integer", "text", "switch", "choice", "choices"]
    value: Any
    about: str = ""
    choices: tuple[Any, ...] = ()
    minimum: float | None = None
    maximum: float | None = None

    @property
    def label(self) -> str:
        """As a visitor reads it."""
        words = [
            f"stage {int(part) + 1}" if part.isdecimal() else part.replace("_", " ") for part in self.path.split(".")
        ]
        return ", ".join(words[1:] if words[0] == "stages" else words)


def fields(kind: str, schema: Schema, config: Mapping[str, Any]) -> list[Field]:
    """The fields of a form for *config*."""
    found = (_field(path, schema, config) for path in COMMON[kind])
    return [field for field in found if field is not None]


def filled(config: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with the values of a form in it; what was left empty keeps its default."""
    whole = copy.deepcopy(dict(config))
    for path, value in values.items():
        if value not in (None, ""):
            _put(whole, path.split("."), value)
    return whole


def without(config: Mapping[str, Any], paths: Sequence[str]) -> dict[str, Any]:
    """The rest of a configuration, which the form has no fields for; lists stay whole."""
    rest = copy.deepcopy(dict(config))
    for path in paths:
        *above, last = path.split(".")
        inner: Any = rest
        for part in above:
            inner = inner.get(part) if isinstance(inner, dict) else None
        if isinstance(inner, dict):
            inner.pop(last, None)
    return {key: value for key, value in rest.items() if value != {}}


def _field(path: str, schema: Schema, config: Mapping[str, Any]) -> Field | None:
    node, value = schema, config
    given: Any = value
    for part in path.split("."):
        node = _resolved(node, schema)
        if part.isdecimal():
            if not isinstance(given, list) or int(part) >= len(given):
                return None
            node, given = node.get("items", {}), given[int(part)]
        elif part in node.get("properties", {}):
            node = node["properties"][part]
            given = given.get(part) if isinstance(given, Mapping) else None
        else:
            return None
    about, default = node.get("description", ""), node.get("default")
    return _typed(path, _resolved(node, schema), default if given is None else given, about, schema)


def _typed(path: str, node: Schema, value: Any, about: str, schema: Schema) -> Field | None:
    bounds = {"minimum": node.get("minimum", node.get("exclusiveMinimum")), "maximum": node.get("maximum")}
    if "enum" in node:
        return Field(path, "choice", value, about, tuple(node["enum"]))
    if node.get("type") == "array":
        inner = _resolved(node.get("items", {}), schema)
        return Field(path, "choices", value, about, tuple(inner["enum"])) if "enum" in inner else None
    if node.get("type") in ("integer", "number"):
        return Field(path, node["type"], value, about, (), bounds["minimum"], bounds["maximum"])
    kind = {"string": "text", "boolean": "switch"}.get(node.get("type", ""))
    return Field(path, kind, value, about) if kind else None  # type: ignore[arg-type]


def _resolved(node: Schema, schema: Schema) -> Schema:
    """A node without references and without its null."""
    if "$ref" in node:
        return _resolved(schema["$defs"][node["$ref"].rpartition("/")[2]], schema)
    for option in node.get("anyOf", ()):
        if option.get("type") != "null":
            return _resolved(option, schema)
    return node


def _put(whole: Any, path: Sequence[str], value: Any) -> None:
    first, *rest = path
    if not rest:
        whole[first] = value
        return
    if isinstance(whole, list):
        _put(whole[int(first)], rest, value)
        return
    if not isinstance(whole.get(first), dict | list):
        whole[first] = {}
    _put(whole[first], rest, value)
