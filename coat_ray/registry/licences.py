"""What an adapter may be used for, given what it was made from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Ingredient:
    """One thing that goes into a model: a base, a corpus or an expert, with the licence that it carries."""

    kind: str
    name: str
    licence: str
    commercial_use: bool


@dataclass(frozen=True)
class Terms:
    """What the result inherits. ``because`` names every ingredient that forbids commercial use."""

    licence: str
    commercial_use: bool
    because: tuple[str, ...]


def inherit(ingredients: Iterable[Ingredient]) -> Terms:
    """Terms of a model made from *ingredients*: commercial use only where every one of them allows it.

    Distilling from an expert counts as using it, so that a non-commercial expert makes a non-commercial adapter.
    The licence is the list of distinct licences in order of appearance: none of them is dropped or ranked.

    Raises:
        ValueError: no ingredients, or one without a licence; unknown terms are not free terms.
    """
    parts = list(ingredients)
    if not parts:
        raise ValueError("a model is made from at least one thing with a licence; none was given")
    for part in parts:
        if not part.licence.strip():
            raise ValueError(f"{part.kind} {part.name!r} states no licence; write one before a model is made from it")
    forbidding = tuple(f"{part.kind} {part.name} ({part.licence})" for part in parts if not part.commercial_use)
    distinct = dict.fromkeys(part.licence.strip() for part in parts)
    return Terms(licence=" + ".join(distinct), commercial_use=not forbidding, because=forbidding)
