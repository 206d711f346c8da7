"""From a sweep to its points: declared, enumerated or drawn, and each point to a validated run.

Nothing here starts anything. A draw is a function of the seed, the trial's number and the parameter's key alone: the
same on every machine and in every order of keys in the file; more trials add points, and another key changes no other.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from omegaconf import OmegaConf

from coat_ray.config import ConfigError, RunConfig, load_config
from coat_ray.config.domains import Domain, Params, Suggester
from coat_ray.config.section import suggest as nearest
from coat_ray.config.sweep import SweepConfig
from coat_ray.provenance import fingerprint

MAX_POINTS = 2000
"""More trainings than this are a slip of the pen."""

TRIED_DRAWS = 16
"""Of a search that draws as it goes, so many points are tried on the configuration beforehand."""

_TARGETS = ("arms", "experts", "corpus.name", "corpus.max_seconds", "resources.stream_targets")
"""Keys of a run that say which targets it needs, beside the weights that make an expert active."""

_OPEN_NAMES = ("weights", "encode_pools")
"""Mappings that may get a name they do not have yet; the run's configuration knows which."""


@dataclass(frozen=True)
class Point:
    """One choice of all parameters, which every seed of the sweep trains."""

    params: Mapping[str, Any]
    """Dotted key of the run's configuration -> value."""
    variant: str | None = None
    """Its name, where it was declared and not drawn."""
    train: bool = True
    """False: the base model as it is."""
    id: str = field(init=False)
    """Short hash of what it is: the same point has the same id in every sweep."""

    def __post_init__(self) -> None:
        kind = {} if self.train else {"train": False}
        object.__setattr__(self, "id", fingerprint({"params": dict(self.params), **kind})[:8])

    @property
    def name(self) -> str:
        """What people call it, with its id."""
        return f"{self.variant}-{self.id}" if self.variant else self.id

    @property
    def overrides(self) -> list[str]:
        """The parameters as ``key=value``, as ``coat train`` takes them."""
        return [f"{key}={json.dumps(value)}" for key, value in sorted(self.params.items())]

    def seeds(self, sweep: SweepConfig) -> tuple[int, ...]:
        """The seeds that it is trained with; what is not trained has nothing to draw."""
        return sweep.seeds if self.train else sweep.seeds[:1]

    def trial(self, seed: int) -> str:
        """Name of the trial with this seed."""
        return f"{self.name}-s{seed}"


@dataclass(frozen=True)
class Draws:
    """A trial of random search: answers are functions of (seed, number, name of the parameter)."""

    seed: int
    number: int

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """A uniform number in [low, high], or one whose logarithm is uniform."""
        u = self._unit(name)
        return math.exp(math.log(low) + u * math.log(high / low)) if log else low + u * (high - low)

    def suggest_int(self, name: str, low: int, high: int) -> int:
        """A uniform integer in [low, high]."""
        return low + int(self._unit(name) * (high - low + 1))

    def suggest_categorical(self, name: str, choices: Sequence[str]) -> str:
        """One of *choices*, each as likely."""
        return choices[int(self._unit(name) * len(choices))]

    def _unit(self, name: str) -> float:
        """A number in [0, 1) from the digest's first 53 bits."""
        digest = hashlib.sha256(f"{self.seed}/{self.number}/{name}".encode()).digest()
        return (int.from_bytes(digest[:8]) >> 11) / 2**53


@dataclass(frozen=True)
class Recorded:
    """A trial that was drawn before: the values by name that Optuna keeps and Ray Tune hands to a trial."""

    values: Mapping[str, Any]

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:  # noqa: ARG002
        """The recorded number."""
        return float(self.values[name])

    def suggest_int(self, name: str, low: int, high: int) -> int:  # noqa: ARG002
        """The recorded integer."""
        return int(self.values[name])

    def suggest_categorical(self, name: str, choices: Sequence[str]) -> str:  # noqa: ARG002
        """The recorded category."""
        return str(self.values[name])


def suggest(trial: Suggester, sweep: SweepConfig) -> Point:
    """The point that a trial of Optuna (define-by-run), :class:`Draws` or :class:`Recorded` answers with.

    Raises:
        ConfigError: the sweep has variants, and nothing to search.
    """
    params: Params = {}
    for key, domain in sorted(_space(sweep).items()):
        params |= domain.suggest(key, trial)
    return Point(params)


def points(sweep: SweepConfig) -> list[Point]:
    """Every point of a sweep that is known beforehand, each once, in an order that is always the same.

    Variants come as declared, a grid with its last key varying fastest, draws in the order of their numbers.

    Raises:
        ConfigError: TPE, whose points depend on earlier results; a grid that is too large; or a space with fewer
            different points than ``search.trials``.
    """
    if sweep.variants is not None:
        return _declared(sweep)
    if sweep.search.algorithm == "tpe":
        raise ConfigError(f"sweep {sweep.name}: tpe draws each point after it has seen others; ask suggest() for it")
    return _grid(sweep) if sweep.search.algorithm == "grid" else _random(sweep, sweep.search.trials or 0)


def examples(sweep: SweepConfig) -> list[Point]:
    """Points that between them need every target that a search of the space can come to need, each once.

    Targets are made before a search begins. So everything that decides about them is taken in every combination, and
    anything else, such as the weights that make an expert active, at the ends of its domain.

    Raises:
        ConfigError: such a key has a range, or there are too many combinations.
    """
    space = _space(sweep)
    fixed = {key: domain for key, domain in sorted(space.items()) if _decides_about_targets(key)}
    for key, domain in fixed.items():
        if not domain.has_grid:
            raise ConfigError(
                f"sweep {sweep.name}: {key} decides which targets are made, and tpe makes them before it draws: "
                f"give it a choice, or set search.algorithm=random"
            )
    axes = [domain.grid(key) for key, domain in fixed.items()]
    ends = _ends({key: domain for key, domain in space.items() if key not in fixed})
    count = len(ends) * math.prod(map(len, axes))
    if count > MAX_POINTS:
        raise ConfigError(
            f"sweep {sweep.name}: tpe makes the targets of all values of {', '.join(fixed)} before it draws, and with "
            f"the ends of the others these are {count} points, more than {MAX_POINTS}: give them fewer values"
        )
    return list({point.id: point for part in _combined(axes) for end in ends if (point := Point(end | part))}.values())


def base_config(sweep: SweepConfig) -> RunConfig:
    """The run that a sweep varies, before any trial's parameters.

    Raises:
        ConfigError: as in :func:`load_config`.
    """
    return load_config(sweep.run, RunConfig, list(sweep.set))


def apply(sweep: SweepConfig, point: Point, seed: int) -> RunConfig:
    """The run of one trial, named after sweep, point and seed.

    Experts that no stage weighs are left out: no targets are made for them, they are no ancestors of the model, and
    their licences do not bind it.

    Raises:
        ConfigError: values that do not go together, or a point that trains more than one arm.
    """
    own = [f"name={sweep.name}-{point.trial(seed)}", f"seed={seed}"]
    config = load_config(sweep.run, RunConfig, [*sweep.set, *point.overrides, *own])
    if point.train and len(config.arms) != 1:
        raise ConfigError(
            f"a trial trains one arm, and {sweep.run_name} has {', '.join(config.arms)}: set arms=[coat], or [sft]"
        )
    return _without_idle_experts(config)


def check(
    sweep: SweepConfig, *, most: int | None = None, refuse: Callable[[RunConfig], None] | None = None
) -> RunConfig:
    """Try every key and value of a sweep on its run before anything starts; gives :func:`base_config`.

    Args:
        sweep: what is tried.
        most: for who has to answer soon: of a space, only every value of a choice and the ends of a range are tried,
            which may be so many points; None: all points that are known beforehand, too.
        refuse: raises a ConfigError for a run that may not be.

    Raises:
        ConfigError: a key that the run does not have (its nearest neighbour is named), a value that it refuses, or a
            point whose values do not go together.
    """
    base = base_config(sweep)
    data = base.model_dump(mode="json")
    for key in _keys(sweep):
        _known(key, data, sweep)
    tried: set[str] = set()
    for point in _samples(sweep, most):
        if point.id in tried:
            continue
        tried.add(point.id)
        try:
            config = apply(sweep, point, sweep.seeds[0])
            if refuse is not None:
                refuse(config)
        except ConfigError as error:
            named = f"variant {point.variant}" if point.variant else f"the point {json.dumps(dict(point.params))}"
            raise ConfigError(f"sweep {sweep.name}: {named}: {error}") from error
    return base


def _space(sweep: SweepConfig) -> dict[str, Domain]:
    if sweep.space is None:
        raise ConfigError(f"sweep {sweep.name} has variants, and nothing to search")
    return sweep.space


def _declared(sweep: SweepConfig) -> list[Point]:
    found: dict[str, Point] = {}
    for variant in sweep.variants or ():
        point = Point(dict(map(_parsed, variant.set)), variant.name, variant.train)
        if point.id in found:
            raise ConfigError(f"sweep {sweep.name}: variants {found[point.id].variant} and {variant.name} are the same")
        found[point.id] = point
    return list(found.values())


def _parsed(setting: str) -> tuple[str, Any]:
    """Key and value of ``key.sub=value``, read as overrides are."""
    key, _, text = setting.partition("=")
    tree: Any = OmegaConf.to_container(OmegaConf.from_dotlist([f"value={text}"]))
    return key, tree["value"]


def _grid(sweep: SweepConfig) -> list[Point]:
    axes = [domain.grid(key) for key, domain in sorted(_space(sweep).items())]
    count = math.prod(map(len, axes))
    if count > MAX_POINTS:
        raise ConfigError(f"sweep {sweep.name}: the grid has {count} points, more than {MAX_POINTS}: draw some of them")
    return list(map(Point, _combined(axes)))


def _combined(axes: Sequence[Sequence[Params]]) -> Iterator[Params]:
    """Every combination of the axes' parts, the last varying fastest."""
    return ({k: v for part in parts for k, v in part.items()} for parts in itertools.product(*axes))


def _random(sweep: SweepConfig, count: int) -> list[Point]:
    found: dict[str, Point] = {}
    for number in range(20 * count + 1000):
        point = suggest(Draws(sweep.search.seed, number), sweep)
        found.setdefault(point.id, point)
        if len(found) == count:
            return list(found.values())
    raise ConfigError(
        f"sweep {sweep.name}: only {len(found)} different points could be drawn, and search.trials is {count}: "
        f"lower it, or set search.algorithm=grid"
    )


def _keys(sweep: SweepConfig) -> list[str]:
    """Every dotted key that some point sets."""
    if sweep.variants is not None:
        return sorted({key for point in _declared(sweep) for key in point.params})
    return [key for name, domain in sorted(_space(sweep).items()) for key in domain.keys(name)]


def _known(key: str, data: Any, sweep: SweepConfig) -> None:
    """Refuse a key that leads nowhere in the run."""
    above: str | None = None
    for part in key.split("."):
        if isinstance(data, dict) and part not in data:
            if above in _OPEN_NAMES:
                return
            hint = nearest(part, set(data))
            raise ConfigError(f"{_no_key(sweep, key)}: no {part!r} there{hint}")
        if isinstance(data, list) and not (part.isdecimal() and int(part) < len(data)):
            raise ConfigError(f"{_no_key(sweep, key)}: {above} are 0 to {len(data) - 1}")
        if not isinstance(data, dict | list):
            return  # a value that is not there, such as a mixture, or a key below a number: the run's types decide
        data, above = (data[part] if isinstance(data, dict) else data[int(part)]), part


def _no_key(sweep: SweepConfig, key: str) -> str:
    return f"sweep {sweep.name}: {key!r} is no key of {sweep.run_name}"


def _samples(sweep: SweepConfig, most: int | None) -> Iterator[Point]:
    """Points that show whether the configuration takes the sweep: its own, and for a space the ends of every domain."""
    if sweep.space is not None:
        ends = _ends(sweep.space)
        if most is not None and len(ends) > most:
            raise ConfigError(f"sweep {sweep.name}: its domains have {len(ends)} ends and values, more than {most}")
        yield from map(Point, ends)
        if most is not None:
            return
    if sweep.search.algorithm == "tpe":
        yield from examples(sweep)
        yield from _random(sweep, sweep.search.trials or 0)[:TRIED_DRAWS]
    else:
        yield from points(sweep)


def _ends(space: Mapping[str, Domain]) -> list[Params]:
    """The ends of every domain, one domain after the other, while all others stay at their first."""
    probes = {key: domain.probes(key) for key, domain in sorted(space.items())}
    usual = {name: value for parts in probes.values() for name, value in parts[0].items()}
    return [usual | part for parts in probes.values() for part in parts] or [usual]


def _decides_about_targets(key: str) -> bool:
    """Whether a key is one of those, lies below it, or holds it."""
    return any(f"{key}.".startswith(f"{own}.") or f"{own}.".startswith(f"{key}.") for own in _TARGETS)


def _without_idle_experts(config: RunConfig) -> RunConfig:
    active = {role for stage in config.stages for role in stage.active}
    experts = {role: expert for role, expert in config.experts.items() if role in active}
    pools = {role: pool for role, pool in config.resources.encode_pools.items() if role in active}
    resources = config.resources.model_copy(update={"encode_pools": pools})
    return config.model_copy(update={"experts": experts, "resources": resources})
