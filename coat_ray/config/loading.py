"""From a YAML file and dotted overrides to a validated configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ValidationError
from yaml import YAMLError

from coat_ray.config.section import ConfigError, Section, suggest

SectionT = TypeVar("SectionT", bound=Section)

_LOOKUP = re.compile(r"\$\{(?![A-Za-z0-9_.-]+\})")
"""Every ``${`` that does not stand before a plain key and its bracket: resolvers, and whatever could become one."""


def load_config(
    source: Path | str | Mapping[str, Any], model: type[SectionT], overrides: list[str] | None = None
) -> SectionT:
    """Read a YAML file, or take what one would hold, apply ``key.sub=value`` overrides and validate.

    Raises:
        ConfigError: file missing, not YAML, unknown key (with its nearest neighbour), or a value out of range.
    """
    origin = "the configuration" if isinstance(source, Mapping) else str(source)
    if not isinstance(source, Mapping) and not Path(source).is_file():
        raise ConfigError(f"no configuration file at {source}")
    try:
        tree = OmegaConf.create(dict(source)) if isinstance(source, Mapping) else OmegaConf.load(source)
        _refuse_lookups(OmegaConf.to_container(tree), origin)
        for override in overrides or []:
            _override(tree, override)
        data = OmegaConf.to_container(tree, resolve=True)
        _refuse_lookups(data, origin)  # put together from parts, it would be looked up where this is read again
    except ConfigError:
        raise
    except (OmegaConfBaseException, YAMLError, ValueError, TypeError, OSError) as error:
        raise ConfigError(f"{origin}: {error}") from error
    return validate(data, model, origin=origin)


def _override(tree: Any, override: str) -> None:
    """Set one ``key.sub=value``; list items go by number, as in ``stages.0.steps=5``."""
    key, mark, value = override.partition("=")
    if not mark or not all(key.split(".")):
        raise ConfigError(f"override {override!r}: expected key.sub=value")
    _refuse_lookups(value, f"override of {key}")
    try:
        OmegaConf.update(tree, key, OmegaConf.from_dotlist([f"value={value}"])["value"])
    except (OmegaConfBaseException, YAMLError, TypeError, ValueError, AssertionError) as error:
        raise ConfigError(f"override {override!r}: {str(error).splitlines()[0]}") from error


def _refuse_lookups(data: Any, origin: str) -> None:
    """Allow ``${other.key}`` and nothing else: a file must not read the environment of whoever loads it."""
    if isinstance(data, dict):
        for part in (*data, *data.values()):
            _refuse_lookups(part, origin)
    elif isinstance(data, list):
        for value in data:
            _refuse_lookups(value, origin)
    elif isinstance(data, str) and _LOOKUP.search(data):
        raise ConfigError(f"{origin}: {data!r} looks something up outside the file; write the value itself")


def validate(data: Any, model: type[SectionT], origin: str) -> SectionT:
    """Validate plain data against a configuration model; errors read as sentences that start with *origin*."""
    if not isinstance(data, dict):
        raise ConfigError(f"{origin}: expected a mapping of keys, found {type(data).__name__}")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ConfigError("\n".join(_sentence(origin, model, e) for e in error.errors())) from error


def _sentence(origin: str, model: type[BaseModel], error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] != "extra_forbidden":
        message = error["msg"].removeprefix("Value error, ")
        return f"{origin}: {where}: {message}" if where else f"{origin}: {message}"
    parent = _model_at(model, error["loc"][:-1])
    known = set(parent.model_fields) if parent else set()
    return f"{origin}: unknown key {where!r}{suggest(str(error['loc'][-1]), known)}"


def _model_at(model: type[BaseModel], path: tuple[int | str, ...]) -> type[BaseModel] | None:
    """The model that owns the key at *path*, walking through tuples and dicts of models."""
    current: Any = model
    for part in path:
        if isinstance(current, type) and issubclass(current, BaseModel) and part in current.model_fields:
            current = current.model_fields[str(part)].annotation
        current = _inner_model(current)
        if current is None:
            return None
    return current


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((m for m in map(_inner_model, get_args(annotation)) if m), None)
