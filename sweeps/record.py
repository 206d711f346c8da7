"""What a sweep was asked for, kept beside its trials, so that the report can be made again anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from omegaconf import OmegaConf
from pydantic import BaseModel, ConfigDict, Field

from coat_ray.config import RunConfig, SweepConfig
from coat_ray.config.sweep import ERROR_RATES, MACHINE, SCORE, ObjectiveConfig
from coat_ray.storage import atomic_write
from sweeps.results import TrialResult
from sweeps.spaces import Point, apply

RECORD, BASE, TRIALS = "sweep.json", "base.yaml", "trials.jsonl"


@dataclass(frozen=True)
class Objective:
    """How the objective is shown and which way it is good."""

    name: str = "mean accuracy"
    minimise: bool = False
    percent: bool = True
    """A fraction, shown in per cent and its differences in points."""
    cost: bool = False
    """The time of a step is a second objective, to be made small."""

    @classmethod
    def of(cls, config: ObjectiveConfig) -> Objective:
        """From a sweep's configuration."""
        kind = " (WER)" if config.metric in ERROR_RATES else ""
        name = cls.name if config.metric == SCORE else config.metric + kind
        return cls(name, config.mode == "min", config.metric not in MACHINE, config.cost is not None)

    def better(self, change: float) -> bool:
        """Whether a change of the score is for the better."""
        return change < 0 if self.minimise else change > 0

    def rank(self, score: float) -> float:
        """The score as a number that is smaller the better it is; rounded, so that sums in any order tie."""
        return round(score if self.minimise else -score, 12)


class SweepRecord(BaseModel):
    """A validated sweep, and who asked for it how."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    command: str = Field(description="what was typed")
    commit: str | None = Field(None, description="of the code that trained")
    sweep: SweepConfig

    @property
    def variants(self) -> tuple[str, ...]:
        """Names of declared points in their order."""
        return tuple(variant.name for variant in self.sweep.variants or ())

    def config_of(self, trial: TrialResult) -> RunConfig:
        """The configuration that a trial ran.

        Raises:
            ConfigError: the run that the sweep varies is not there, or does not take the trial's parameters.
        """
        return apply(self.sweep, Point(trial.params, trial.variant), trial.seed)


def write_record(folder: Path, record: SweepRecord, base: RunConfig) -> None:
    """Write ``sweep.json``, and ``base.yaml``: the run that is varied, as it is now."""
    # What was left out stays out: a setting that has no effect is refused where somebody sets it.
    atomic_write(folder / RECORD, record.model_dump_json(indent=2, exclude_unset=True) + "\n")
    atomic_write(folder / BASE, OmegaConf.to_yaml(OmegaConf.create(base.model_dump(mode="json"))))


def read_record(folder: Path) -> SweepRecord:
    """What :func:`write_record` wrote; its sweep varies the ``base.yaml`` of the folder.

    Raises:
        ValueError: no sweep lies there, or its record is damaged.
    """
    path = folder / RECORD
    if not path.is_file():
        raise ValueError(f"no sweep in {folder}: it has no {RECORD}")
    try:
        record = SweepRecord.model_validate_json(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is no record of a sweep: {error}") from error
    sweep = record.sweep.model_copy(update={"run": str(folder / BASE)})
    return record.model_copy(update={"sweep": sweep})
