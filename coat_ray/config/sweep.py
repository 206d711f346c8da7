"""A sweep: many short runs that answer one question about the method."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, JsonValue, field_validator, model_validator

from coat_ray.config.domains import Domain, check_shape
from coat_ray.config.section import Section, suggest

SCORE = "score"
"""The mean accuracy over held-out task groups."""

MACHINE = {
    "step_seconds": "min",
    "rows_per_second": "max",
    "audio_hours_per_hour": "max",
    "peak_rss_mib": "min",
    "peak_gpu_mib": "min",
}
"""Logged metrics about the machine, and which way they are good."""

IN_TRAINING = ("loss", "ce", "token_accuracy", "grad_norm")
"""Logged metrics of the rows that are trained on, beside ``<role>/<term>``."""

ERROR_RATES = ("asr",)
"""Task groups whose score is an error rate."""

OWN_KEYS = ("name", "seed")
"""Keys that a sweep sets in every trial itself."""

Seed = Annotated[int, Field(ge=0, le=9_999)]
Mode = Literal["max", "min"]


def _was_set(section: Section, name: str) -> bool:
    """Whether a value is not the default; one that a record spells out is as if it had been left out."""
    return getattr(section, name) != type(section).model_fields[name].default


class SearchConfig(Section):
    """How points of the space are chosen."""

    algorithm: Literal["grid", "random", "tpe"] = "grid"
    trials: int | None = Field(None, ge=1, le=10_000, description="points, for random and tpe; a grid has its own")
    seed: int = Field(0, ge=0, description="fixes every draw")

    @model_validator(mode="after")
    def _settings_have_an_effect(self) -> SearchConfig:
        if self.algorithm == "grid":
            for name in ("trials", "seed"):
                if _was_set(self, name):
                    raise ValueError(f"{name} has no effect with algorithm=grid, which tries every combination")
        elif self.trials is None:
            raise ValueError(f"algorithm={self.algorithm} goes on for ever: say in trials how many points it draws")
        return self


class ObjectiveConfig(Section):
    """What makes one trial better than another: never a training loss, which the weights themselves change."""

    metric: str = Field(SCORE, description="score, a task group, or a metric about the machine such as rows_per_second")
    mode: Mode = Field("max", description="left out: the way in which the metric is good")
    split: Literal["validation", "test"] = Field(
        "validation", description="validation to choose by; test to compare what was declared beforehand"
    )
    cost: Literal["step_seconds"] | None = Field(
        None, description="a second objective to be made small: TPE searches the trade-off"
    )
    rows_per_task: int | None = Field(None, ge=1, description="questions of each task group; None: all")

    @model_validator(mode="before")
    @classmethod
    def _metric_is_held_out(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        metric = data.get("metric", SCORE)
        if not isinstance(metric, str):
            return data
        good = _good_way(metric)
        mode = data.get("mode") or good
        if mode in get_args(Mode) and mode != good:
            raise ValueError(f"mode={mode} looks for the worst {metric}: set mode={good}, or leave it out")
        return data | {"mode": mode}

    @model_validator(mode="after")
    def _cost_is_a_rival(self) -> ObjectiveConfig:
        if self.cost == self.metric:
            raise ValueError(f"metric and cost are both {self.cost}: leave cost out")
        return self


def _good_way(metric: str) -> Mode:
    from coat_ray.corpus.manifest import Task  # noqa: PLC0415 - brings Arrow, which only sweeps need here

    groups: tuple[str, ...] = get_args(Task)
    if metric in IN_TRAINING or "/" in metric:
        raise ValueError(
            f"metric {metric!r} is measured on the rows that are trained on, and loss weights change what it means: "
            f"use {SCORE!r}, or one of the task groups {', '.join(groups)}"
        )
    if metric in MACHINE:
        return "min" if MACHINE[metric] == "min" else "max"
    if metric != SCORE and metric not in groups:
        known = {SCORE, *groups, *MACHINE}
        raise ValueError(f"no metric {metric!r}; there are {', '.join(sorted(known))}{suggest(metric, known)}")
    return "min" if metric in ERROR_RATES else "max"


class StoppingConfig(Section):
    """Early stopping: at each rung only the better part of the trials goes on (ASHA, arXiv 1810.05934)."""

    kind: Literal["none", "asha"] = "none"
    rungs: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (0.25, 0.5), min_length=1, description="where trials are compared, as fractions of their steps"
    )
    reduction: int = Field(2, ge=2, le=10, description="one of so many goes on")

    @model_validator(mode="after")
    def _settings_have_an_effect(self) -> StoppingConfig:
        for name in ("rungs", "reduction"):
            if self.kind == "none" and _was_set(self, name):
                raise ValueError(f"{name} has no effect with kind=none: leave it out, or set kind=asha")
        if any(second <= first for first, second in pairwise(self.rungs)):
            raise ValueError(f"rungs {list(self.rungs)}: each comes after the one before")
        return self

    def steps(self, total_steps: int) -> tuple[int, ...]:
        """The steps after which a trial of *total_steps* is compared; none without early stopping."""
        if self.kind == "none":
            return ()
        return tuple(sorted({max(1, round(rung * total_steps)) for rung in self.rungs} - {total_steps}))


class SweepResources(Section):
    """What a sweep asks for beside what each of its runs does."""

    concurrency: int = Field(1, ge=1, description="trials at a time, each with the resources of its run")


class VariantConfig(Section):
    """A point that is named and not drawn."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_]{0,17}$")
    set: tuple[str, ...] = Field((), description="key.sub=value, after the sweep's own")
    train: bool = Field(True, description="False: the base model as it is, asked the same questions")


class SweepConfig(Section):
    """A space or named variants of a run, how to search it, and what counts."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,23}$")
    run: str | dict[str, JsonValue] = Field(
        description="the run that is varied: a YAML file, seen from where the sweep starts, or what one would hold"
    )
    set: tuple[str, ...] = Field((), description="key.sub=value for every trial")
    space: dict[str, Domain] | None = Field(None, min_length=1, description="dotted key of the run -> domain")
    variants: tuple[VariantConfig, ...] | None = Field(None, min_length=1)
    seeds: tuple[Seed, ...] = Field((0,), min_length=1, description="every point is trained with each")
    search: SearchConfig = SearchConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    stopping: StoppingConfig = StoppingConfig()
    resources: SweepResources = SweepResources()

    @property
    def run_name(self) -> str:
        """What the run that is varied is called in a sentence."""
        return self.run if isinstance(self.run, str) else "its run"

    @field_validator("space", mode="before")
    @classmethod
    def _domains_have_a_kind(cls, space: Any) -> Any:
        for key, value in space.items() if isinstance(space, dict) else ():
            check_shape(str(key), value)
        return space

    @model_validator(mode="after")
    def _points_come_from_one_place(self) -> SweepConfig:
        if (self.space is None) == (self.variants is None):
            found = "neither" if self.space is None else "both"
            raise ValueError(f"a sweep has either a space, which is searched, or variants; found {found}")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"each seed once; found {', '.join(map(str, self.seeds))}")
        names = [variant.name for variant in self.variants or ()]
        if len(set(names)) < len(names):
            raise ValueError(f"each variant once; found {', '.join(names)}")
        return self

    @model_validator(mode="after")
    def _keys_are_set_once(self) -> SweepConfig:
        for where, settings in (("set", self.set), *((f"variant {v.name!r}", v.set) for v in self.variants or ())):
            _check_keys(where, [_key_of(where, setting) for setting in settings])
        for variant in self.variants or ():
            if variant.set and not variant.train:
                raise ValueError(f"variant {variant.name!r} is not trained: its set has no effect")
        space = self.space or {}
        keys = [key for name, domain in space.items() for key in domain.keys(name)]
        _check_keys("space", keys)
        for key in {_key_of("set", setting) for setting in self.set} & set(keys):
            raise ValueError(f"{key} is in set and in the space, which overrides it: leave one of them out")
        return self

    @model_validator(mode="after")
    def _search_fits_the_points(self) -> SweepConfig:
        algorithm = self.search.algorithm
        if self.variants is not None and _was_set(self, "search"):
            raise ValueError("search has no effect with variants: all of them are trained")
        for key, domain in (self.space or {}).items():
            points = getattr(domain, "points", None)
            if algorithm == "grid" and not domain.has_grid:
                raise ValueError(f"{key}: a grid needs {_missing(domain)}, or search it with random or tpe")
            if algorithm != "grid" and points is not None:
                raise ValueError(f"{key}: points has no effect with algorithm={algorithm}, which draws from the range")
        if algorithm == "tpe" and len(self.seeds) > 1:
            raise ValueError(
                "tpe learns from one number per point: give one seed, and train the best points with more afterwards"
            )
        return self

    @model_validator(mode="after")
    def _objective_fits_the_search(self) -> SweepConfig:
        if self.objective.cost and self.search.algorithm != "tpe":
            raise ValueError("objective.cost is traded by algorithm=tpe only; the time of a step is recorded anyway")
        if self.stopping.kind == "asha" and self.objective.cost:
            raise ValueError("asha compares trials by one number: leave objective.cost out, or set stopping.kind=none")
        if self.stopping.kind == "asha" and self.variants is not None:
            raise ValueError("variants are compared at equal budgets: leave stopping out")
        return self


def _missing(domain: Domain) -> str:
    return "points: n beside its range" if hasattr(domain, "points") else "values, which a simplex does not have"


def _key_of(where: str, setting: str) -> str:
    key, mark, _ = setting.partition("=")
    if not mark:
        raise ValueError(f"{where}: {setting!r}: expected key.sub=value")
    return key


def _check_keys(where: str, keys: Iterable[str]) -> None:
    """Refuse keys in two spellings, keys that lie inside one another, and those that a sweep sets itself."""
    ordered = sorted(keys, key=lambda key: key.split("."))
    for key in ordered:
        if not all(key.split(".")) or "[" in key:
            raise ValueError(f"{where}: {key!r}: write a key with dots, such as stages.1.weights.pitch")
        if key in OWN_KEYS:
            own = "lists them under seeds" if key == "seed" else "names every run after its trial"
            raise ValueError(f"{where}: {key!r} cannot be set: a sweep {own}")
        if where != "set" and key.split(".")[0] == "evaluation":
            raise ValueError(f"{where}: {key!r} changes how trials are judged: put it under the sweep's set")
        if where != "set" and key.split(".")[0] == "resources":
            raise ValueError(
                f"{where}: {key!r} would make trials of several sizes, and each holds the same: set it once"
            )
    for first, second in pairwise(ordered):
        if f"{second}.".startswith(f"{first}."):
            raise ValueError(f"{where}: {second!r} is set twice{'' if first == second else f', once in {first!r}'}")
