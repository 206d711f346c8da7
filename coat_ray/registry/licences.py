"""What an adapter may be used for, given what it was made from."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

NOT_STATED = "not stated"
"""Stands where a licence should; unknown terms are not free terms."""

_CC = r"cc[\W_]*by[\W_]*"
_NON_COMMERCIAL = re.compile(
    rf"(?<![a-z0-9])nc(?![a-z])|{_CC}(sa[\W_]*|nd[\W_]*)?nc|non[\W_]*commercial|not?[\W_]+(for[\W_]+)?commercial"
    rf"|research|{NOT_STATED}"
)
_KEPT = re.compile(
    rf"(?<![a-z0-9])nd(?![a-z])|{_CC}(nc[\W_]*|sa[\W_]*)?nd|(?<![a-z])no[\W_]*deriv|(?<![a-z])non?[\W_]*redistribut"
    rf"|not[\W_]+for[\W_]+redistribut|proprietary|all[\W_]+rights[\W_]+reserved|{NOT_STATED}"
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
    return _NON_COMMERCIAL.search(_plain(licence)) is None


def _plain(licence: str) -> str:
    """However it is spelled: capitals, wide letters and typographic hyphens are no difference."""
    return unicodedata.normalize("NFKC", licence).casefold()


def objection(what: str, terms: Terms, *, non_commercial: bool) -> str | None:
    """Why *what* may not be shared under its terms, as a sentence; None where nothing stands against it.

    A licence that forbids to hand things on cannot be shared against at all, and one that is not stated counts as such.
    One that forbids commercial use can, when whoever shares says that the other side is bound to it.

    Args:
        what: its name, for the sentence.
        terms: of the model or corpus.
        non_commercial: whether that was said.
    """
    kept = [part for part in terms.licence.split(" + ") if _KEPT.search(_plain(part))]
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
