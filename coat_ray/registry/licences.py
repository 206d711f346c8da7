"""What an adapter may be used for, given what it was made from."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

NOT_STATED = "not stated"
"""Stands where a licence should; unknown terms are not free terms."""

_NON_COMMERCIAL = re.compile(rf"\bnc\b|non-?commercial|research|{NOT_STATED}", re.IGNORECASE)
_KEPT = re.compile(
    rf"\bnd\b|no-?deriv|no[ -]redistribut|not for redistribution|proprietary|all rights reserved|{NOT_STATED}",
    re.IGNORECASE,
)
"""Words of licences that forbid to hand on what was made with the thing, or the thing itself."""


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


def is_commercial(licence: str) -> bool:
    """Whether a licence's words leave commercial use open. They are read as words, not as law."""
    return _NON_COMMERCIAL.search(licence) is None


def objection(what: str, terms: Terms, *, non_commercial: bool) -> str | None:
    """Why *what* may not be shared under its terms, as a sentence; None where nothing stands against it.

    A licence that forbids to hand things on cannot be shared against at all, and one that is not stated counts as such.
    One that forbids commercial use can, when whoever shares says that the other side is bound to it.

    Args:
        what: its name, for the sentence.
        terms: of the model or corpus.
        non_commercial: whether that was said.
    """
    kept = [part for part in terms.licence.split(" + ") if _KEPT.search(part)]
    if kept:
        return (
            f"{what} is not shared: its licence {' and '.join(map(repr, kept))} does not let it be handed on; "
            "only what is made without it can be shared"
        )
    if not terms.commercial_use and not non_commercial:
        because = ", ".join(terms.because) or terms.licence
        return (
            f"{what} may not be used commercially because of {because}: to share it, say that the other tenant is "
            'bound to that, with "non_commercial": true or --non-commercial'
        )
    return None


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
