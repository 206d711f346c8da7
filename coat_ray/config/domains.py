"""What a parameter of a sweep may be: one small model per kind, written in YAML as ``{kind: …}``.

A domain draws its value through the questions that a trial of Optuna answers (:class:`Suggester`), so that random
search, TPE and the record of an earlier draw go one way. Values are rounded to six digits: they are the same on every
machine, and what a report shows is what was trained with.
"""

from __future__ import annotations

import json
import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, Protocol

from pydantic import Discriminator, Field, FiniteFloat, JsonValue, Tag, model_validator

from coat_ray.config.section import Section, suggest

DIGITS = 6
OPEN = 1e-9
"""How near a number between 0 and 1 comes to either: a share of nothing would make an expert inactive."""
INSIDE = 0.381966
"""Where a range is tried beside its ends; no round number, so that a range of fractions is no range of integers."""

Params = dict[str, Any]
"""Dotted key of the run's configuration -> value."""


class Suggester(Protocol):
    """What a domain asks of a trial. Names are unique; Optuna's trials can answer, and so can a list of numbers."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """A number in [low, high], on a logarithmic scale or not."""

    def suggest_int(self, name: str, low: int, high: int) -> int:
        """An integer in [low, high]."""

    def suggest_categorical(self, name: str, choices: Sequence[str]) -> str:
        """One of *choices*."""


class _Range(Section):
    """Numbers between two bounds, both included."""

    points: int | None = Field(None, ge=2, description="grid search: so many values, evenly spaced on the scale")

    @property
    @abstractmethod
    def bounds(self) -> tuple[float, float]:
        """Lowest and highest value."""

    @property
    def has_grid(self) -> bool:
        """Whether grid search knows which values to try."""
        return self.points is not None

    def at(self, fraction: float) -> float:
        """The value at a fraction of the way from the lower to the upper bound, on the scale."""
        low, high = self.bounds
        return self._tidy(low + fraction * (high - low))

    def keys(self, key: str) -> tuple[str, ...]:
        """The dotted keys that a draw sets."""
        return (key,)

    def suggest(self, key: str, trial: Suggester) -> Params:
        """Ask for a value."""
        return {key: self._tidy(trial.suggest_float(key, *self.bounds))}

    def grid(self, key: str) -> list[Params]:
        """Every value that grid search tries, each once."""
        last = (self.points or 2) - 1
        return [{key: value} for value in dict.fromkeys(self.at(i / last) for i in range(last + 1))]

    def probes(self, key: str) -> list[Params]:
        """Values that show whether the configuration takes the domain."""
        return [{key: self.at(fraction)} for fraction in (0.0, INSIDE, 1.0)]

    @model_validator(mode="after")
    def _bounds_are_in_order(self) -> _Range:
        low, high = self.bounds
        if low >= high:
            raise ValueError(f"[{low:g}, {high:g}]: the lower bound comes first, and is not the upper one")
        return self

    def _tidy(self, value: float) -> float:
        low, high = self.bounds
        return min(max(float(f"{value:.{DIGITS}g}"), low), high)


class Uniform(_Range):
    """Real numbers, each interval as likely as another of its length."""

    uniform: tuple[FiniteFloat, FiniteFloat]

    @property
    def bounds(self) -> tuple[float, float]:
        """Lowest and highest value."""
        return self.uniform


class LogUniform(_Range):
    """Positive real numbers, each factor as likely as another of its size: for weights and learning rates."""

    log_uniform: tuple[FiniteFloat, FiniteFloat]

    @property
    def bounds(self) -> tuple[float, float]:
        """Lowest and highest value."""
        return self.log_uniform

    def at(self, fraction: float) -> float:
        """The value at a fraction of the way, on the logarithmic scale."""
        low, high = (math.log(bound) for bound in self.bounds)
        return self._tidy(math.exp(low + fraction * (high - low)))

    def suggest(self, key: str, trial: Suggester) -> Params:
        """Ask for a value."""
        return {key: self._tidy(trial.suggest_float(key, *self.bounds, log=True))}

    @model_validator(mode="after")
    def _is_positive(self) -> LogUniform:
        if self.log_uniform[0] <= 0:
            raise ValueError("a logarithmic scale has no 0: to try an expert without weight, use choice")
        return self


class IntUniform(_Range):
    """Integers, each as likely."""

    int_uniform: tuple[int, int]

    @property
    def bounds(self) -> tuple[float, float]:
        """Lowest and highest value."""
        return self.int_uniform

    @property
    def has_grid(self) -> bool:
        """Without ``points`` a grid has every integer."""
        return True

    def suggest(self, key: str, trial: Suggester) -> Params:
        """Ask for a value."""
        return {key: trial.suggest_int(key, *self.int_uniform)}

    def grid(self, key: str) -> list[Params]:
        """Every integer, or ``points`` of them."""
        low, high = self.int_uniform
        return super().grid(key) if self.points else [{key: value} for value in range(low, high + 1)]

    def _tidy(self, value: float) -> int:
        return round(value)


class Choice(Section):
    """Some values of any kind, each as likely."""

    choice: tuple[JsonValue, ...] = Field(min_length=2)

    @property
    def has_grid(self) -> bool:
        """Grid search tries all."""
        return True

    def keys(self, key: str) -> tuple[str, ...]:
        """The dotted keys that a draw sets."""
        return (key,)

    def suggest(self, key: str, trial: Suggester) -> Params:
        """Ask for one of the values, as JSON, because Optuna has no lists among its categories."""
        return {key: json.loads(trial.suggest_categorical(key, self._categories))}

    def grid(self, key: str) -> list[Params]:
        """All values, in their order."""
        return [{key: value} for value in self.choice]

    def probes(self, key: str) -> list[Params]:
        """Values that show whether the configuration takes the domain: all."""
        return self.grid(key)

    @property
    def _categories(self) -> tuple[str, ...]:
        return tuple(json.dumps(value, sort_keys=True) for value in self.choice)

    @model_validator(mode="after")
    def _values_differ(self) -> Choice:
        if twice := [value for value in self._categories if self._categories.count(value) > 1]:
            raise ValueError(f"the choice names {twice[0]} more than once")
        return self


class Simplex(Section):
    """Shares of a total for each name below the key, every split as likely: ``stages.1.weights`` of some experts.

    A draw breaks a stick: of n names, the share of the first in what is left is 1 - (1 - u)^(1 / (n - 1)) for a
    uniform u, and so on. That is uniform on the simplex like normalised exponentials, but with n - 1 numbers for n - 1
    degrees of freedom, so that TPE searches no direction that changes nothing. Names count in alphabetical order.
    """

    simplex: tuple[str, ...] = Field(min_length=2)
    total: float = Field(1.0, gt=0, allow_inf_nan=False)

    @property
    def has_grid(self) -> bool:
        """A grid of shares would be one of ours; nothing needs it."""
        return False

    def keys(self, key: str) -> tuple[str, ...]:
        """The dotted keys that a draw sets."""
        return tuple(f"{key}.{name}" for name in sorted(self.simplex))

    def suggest(self, key: str, trial: Suggester) -> Params:
        """Ask for n - 1 numbers between 0 and 1, named ``key[name]``."""
        *names, last = sorted(self.simplex)
        params, rest = {}, self.total
        for remaining, name in zip(range(len(names), 0, -1), names, strict=True):
            u = trial.suggest_float(f"{key}[{name}]", OPEN, 1 - OPEN)
            share = rest * -math.expm1(math.log1p(-u) / remaining)
            params[f"{key}.{name}"], rest = share, rest - share
        params[f"{key}.{last}"] = rest
        return {name: float(f"{share:.{DIGITS}g}") for name, share in params.items()}

    def grid(self, key: str) -> list[Params]:
        """None.

        Raises:
            ValueError: always; ``has_grid`` says so beforehand.
        """
        raise ValueError(f"{key}: a simplex has no grid: search it with random or tpe")

    def probes(self, key: str) -> list[Params]:
        """Values that show whether the configuration takes the domain: equal shares."""
        return [dict.fromkeys(self.keys(key), self.total / len(self.simplex))]

    @model_validator(mode="after")
    def _names_differ(self) -> Simplex:
        if twice := [first for first, second in pairwise(sorted(self.simplex)) if first == second]:
            raise ValueError(f"the simplex names {twice[0]!r} more than once")
        return self


KINDS: dict[str, type[Section]] = {
    "uniform": Uniform,
    "log_uniform": LogUniform,
    "int_uniform": IntUniform,
    "choice": Choice,
    "simplex": Simplex,
}


def kind_of(value: Any) -> str | None:
    """The kind of a domain, as YAML or as a model; None: none, or more than one."""
    if isinstance(value, Section):
        return next((kind for kind, model in KINDS.items() if isinstance(value, model)), None)
    found = [kind for kind in KINDS if kind in value] if isinstance(value, Mapping) else []
    return found[0] if len(found) == 1 else None


Domain = Annotated[
    Annotated[Uniform, Tag("uniform")]
    | Annotated[LogUniform, Tag("log_uniform")]
    | Annotated[IntUniform, Tag("int_uniform")]
    | Annotated[Choice, Tag("choice")]
    | Annotated[Simplex, Tag("simplex")],
    Discriminator(kind_of),
]


def check_shape(key: str, value: Any) -> None:
    """Refuse what is no domain, before its numbers are looked at.

    Raises:
        ValueError: no kind or several, or a key that the kind does not have.
    """
    if isinstance(value, Section):
        return
    kind = kind_of(value)
    if kind is None:
        named = [str(name) for name in value] if isinstance(value, Mapping) else []
        hints = [hint for name in named if name not in KINDS and (hint := suggest(name, set(KINDS)))]
        raise ValueError(f"{key}: expected one of {{{'|'.join(KINDS)}: …}}{hints[0] if hints else ''}")
    known = set(KINDS[kind].model_fields)
    for name in value:
        if name not in known:
            raise ValueError(f"{key}: {kind} has no key {name!r}{suggest(str(name), known)}")
