"""What every configuration model is, and how names that are nearly right are recognised."""

from __future__ import annotations

import difflib

from pydantic import BaseModel, ConfigDict


class ConfigError(ValueError):
    """A configuration that cannot be used; the message says where and what to do."""


class Section(BaseModel):
    """Base of every configuration model."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def suggest(key: str, known: set[str]) -> str:
    """The nearest of the known names, as the end of a sentence; empty where none is near."""
    near = difflib.get_close_matches(key, sorted(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""
