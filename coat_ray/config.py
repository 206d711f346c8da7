"""Every configuration model of the platform: load a YAML file, apply dotted overrides, validate.

All models are frozen and refuse unknown keys; an unknown key names its nearest neighbour. Values that the paper
(arXiv 2606.18273) states are marked "paper"; every other default is ours.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    ValidationError,
    field_validator,
    model_validator,
)
from yaml import YAMLError

RECON = "recon"
"""Role of the reconstruction target: the backbone's own tower output, which the forward pass computes anyway."""

Arm = Literal["sft", "coat"]

PAPER_BATCH_ROWS = 16


SectionT = TypeVar("SectionT", bound="Section")

_RESOLVER = re.compile(r"\$\{[^}]*:")


class ConfigError(ValueError):
    """A configuration that cannot be used; the message says where and what to do."""


class Section(BaseModel):
    """Base of every configuration model."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class BackboneConfig(Section):
    """The audio language model that is trained (the student)."""

    family: str = "qwen2_audio"
    weights: str = Field(
        "embedded", description='"embedded", a folder, or a hub id such as Qwen/Qwen2-Audio-7B-Instruct'
    )
    dtype: Literal["float32", "bfloat16"] = "float32"


class LoraSection(Section):
    """Low-rank adaptation of the language model only (paper: rank 16, alpha 32)."""

    rank: int = Field(16, ge=1)
    alpha: int = Field(32, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    target_modules: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class ProjectorConfig(Section):
    """Projection heads P_k from the block to each expert (paper 3.2: one Transformer block, then a linear map)."""

    kind: str = "transformer"
    num_heads: int = Field(4, ge=1)
    ffn_ratio: float = Field(2.0, gt=0)


class ExpertConfig(Section):
    """One frozen teacher: which model, which weights, and how its frames meet the block."""

    model: str
    weights: str = Field("embedded", description='"embedded", "official", or the path of a checkpoint')
    layer: int | None = Field(None, ge=1, description="transformer layer that is tapped; None: the expert's default")
    alignment: Literal["block", "native"] | None = Field(
        None,
        description="store frames on the block's 25 Hz grid, or at the expert's own rate; None: native where that is "
        "slower than the block (PANNs), else block",
    )
    dtype: Literal["float16", "int8"] = Field("float16", description="precision of the stored frames")


class CorpusConfig(Section):
    """Where the rows come from: a folder with train.jsonl, validation.jsonl and test.jsonl, or a built-in corpus."""

    name: str = Field("soundworld-mini", description="a built-in corpus, or the path of a folder with manifests")
    mixture: dict[str, PositiveFloat] | None = Field(
        None, min_length=1, description="share of each task group; None: as in the manifest"
    )
    max_repeats: int | None = Field(None, ge=1, description="how often a row may come in one stage; None: no bound")
    max_seconds: float = Field(30.0, gt=0)


class StageConfig(Section):
    """One training stage: its length and the weights w_k^(s) of its active experts (paper 3.4)."""

    name: str
    steps: int = Field(ge=1)
    weights: dict[str, NonNegativeFloat] = Field(
        default_factory=dict, description="role -> loss weight; absent or 0: inactive"
    )

    @property
    def active(self) -> tuple[str, ...]:
        """Roles with a positive weight, in a fixed order."""
        return tuple(sorted(role for role, weight in self.weights.items() if weight > 0))


class BalanceConfig(Section):
    """How the experts' losses are weighed against each other (see ``training/balance.py``)."""

    kind: Literal["fixed", "uncertainty"] = Field(
        "fixed", description="fixed: the stages' weights (paper 3.4); uncertainty: learned, starting from them"
    )
    lr: float | None = Field(None, gt=0, description="learning rate of the log-variances; None: optim.head_lr")

    @model_validator(mode="after")
    def _lr_has_an_effect(self) -> BalanceConfig:
        if self.kind == "fixed" and self.lr is not None:
            raise ValueError("lr has no effect with kind=fixed: leave it out, or set kind=uncertainty")
        return self


class OptimConfig(Section):
    """AdamW with linear warm-up and cosine decay. The paper does not publish these; the defaults are ours."""

    lr: float = Field(5e-5, gt=0)
    head_lr: float = Field(1e-4, gt=0)
    token_lr: float | None = Field(None, gt=0, description="learning rate of the three token rows; None: lr")
    weight_decay: float = Field(0.0, ge=0)
    betas: tuple[float, float] = (0.9, 0.999)
    warmup_fraction: float = Field(0.05, ge=0, lt=1)
    min_lr_fraction: float = Field(0.0, ge=0, le=1)
    grad_clip: float = Field(1.0, gt=0)


class DeepSpeedConfig(Section):
    """DeepSpeed ZeRO settings that make sense for a small trainable part."""

    zero_stage: Literal[0, 1, 2, 3] = 2
    offload_optimizer: bool = False


class PoolConfig(Section):
    """The actors of one expert while targets are made; what is left open comes from ``resources.encode_*``."""

    min_actors: int = Field(1, ge=1, description="always there; the pool grows from here while clips wait")
    max_actors: int | None = Field(None, ge=1, description="None: encode_actors, or min_actors where that is more")
    cpus: float | None = Field(None, ge=0, description="per actor; None: encode_cpus")
    gpus: float | None = Field(None, ge=0, description="per actor, a fraction shares a GPU; None: encode_gpus")

    @model_validator(mode="after")
    def _bounds_are_in_order(self) -> PoolConfig:
        if self.max_actors is not None and self.max_actors < self.min_actors:
            raise ValueError(f"max_actors is {self.max_actors}, fewer than min_actors ({self.min_actors})")
        return self


class ResourcesConfig(Section):
    """What a run asks of the cluster. Never part of a run's identity."""

    train_workers: int = Field(2, ge=1)
    cpus_per_worker: float = Field(1, gt=0)
    gpus_per_worker: float = Field(0, ge=0)
    encode_actors: int = Field(1, ge=1, description="actors (of each expert, at most) when targets are made")
    encode_cpus: float = Field(0.5, gt=0)
    encode_gpus: float = Field(0, ge=0)
    encode_shared: bool | None = Field(
        None,
        description="every encode actor decodes and hosts all experts; None: only without a GPU and encode_pools",
    )
    encode_pools: dict[str, PoolConfig] = Field(
        default_factory=dict, description="role -> actors of that expert, where experts have pools of their own"
    )
    encode_batch_seconds: float = Field(32, gt=0, description="audio in one call of an expert, padding included")
    stream_targets: bool = Field(
        False, description="experts run beside training and feed it, and nothing is stored; each worker has its own"
    )
    decode_tasks: int = Field(2, ge=1, description="decoding tasks at a time where experts have pools of their own")

    @model_validator(mode="after")
    def _pools_have_an_effect(self) -> ResourcesConfig:
        if self.encode_shared and self.encode_pools:
            raise ValueError("encode_pools has no effect with encode_shared=true: leave one of them out")
        return self


class TrainingConfig(Section):
    """The training loop. A position is a token of text, sound or block; padding counts."""

    batch_rows: int | None = Field(None, ge=1, description="rows in a global batch, over all workers (paper: 16)")
    batch_tokens: int | None = Field(
        None, ge=1, description="instead of batch_rows: as many rows of like length as fit into so many positions"
    )
    micro_tokens: int | None = Field(
        None, ge=1, description="positions that a worker computes at once; the gradients of several parts add up"
    )
    activation_checkpointing: bool = Field(False, description="compute the decoder twice and keep less in between")
    skip_nonfinite: int = Field(
        0, ge=0, description="parts of a batch with a NaN or infinite loss that may be left out before training stops"
    )
    checkpoint_every: int = Field(100, ge=1)
    log_every: int = Field(10, ge=1)
    focal_weight: float = Field(1.0, ge=0, description="w_aux of the pitch loss")
    focal_alpha: float = Field(0.25, gt=0, lt=1)
    focal_gamma: float = Field(2.0, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _size_of_a_batch(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        rows, tokens = data.get("batch_rows"), data.get("batch_tokens")
        if rows is not None and tokens is not None:
            raise ValueError("batch_rows and batch_tokens both say how large a batch is: set one of them to null")
        return data | {"batch_rows": PAPER_BATCH_ROWS} if rows is None and tokens is None else data


class AugmentConfig(Section):
    """What is done to clips on their way into training; targets stay those of the clean clip."""

    gain_db: float = Field(0.0, ge=0, description="gain drawn from ± this")
    noise_probability: float = Field(0.0, ge=0, le=1, description="share of clips that get white noise")
    snr_db: tuple[float, float] = Field((10.0, 30.0), description="bounds of the signal-to-noise ratio")
    time_masks: int = Field(0, ge=0, description="SpecAugment (Park et al. 2019) on the log-mel")
    time_mask_frames: int = Field(40, ge=1, description="longest time mask, in mel frames of 10 ms")
    frequency_masks: int = Field(0, ge=0)
    frequency_mask_bins: int = Field(15, ge=1)

    @property
    def active(self) -> bool:
        """Whether anything is done at all."""
        return bool(self.gain_db or self.noise_probability or self.time_masks or self.frequency_masks)

    @model_validator(mode="after")
    def _bounds_are_in_order(self) -> AugmentConfig:
        if self.snr_db[0] > self.snr_db[1]:
            raise ValueError(f"snr_db {self.snr_db}: the lower bound comes first")
        return self


class TrackingConfig(Section):
    """Where metrics go beside ``metrics.jsonl``. Never part of a run's identity."""

    tensorboard: bool = Field(False, description="event files in the run's folder, under tensorboard/")
    mlflow: str | None = Field(None, description="tracking URI: http(s)://…, or file:///… on a disk that nodes share")

    @field_validator("mlflow")
    @classmethod
    def _holds_no_secret(cls, uri: str | None) -> str | None:
        if uri is not None and "://" not in uri:
            raise ValueError(f"{uri!r} is no URI: write http://… or file:///…")
        if uri is not None and "@" in uri.split("://", 1)[1].split("/", 1)[0]:
            raise ValueError(
                "a configuration is saved with its run: leave name and password out of the URI, and set "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
            )
        return uri


class EvaluationConfig(Section):
    """Held-out evaluation after training."""

    max_rows_per_task: int | None = Field(None, ge=1)
    disturbed_rows_per_task: int | None = Field(50, ge=1, description="questions asked of each disturbed block")
    batch_rows: int = Field(64, ge=1)
    max_new_tokens: int = Field(48, ge=1)


class RunConfig(Section):
    """A whole experiment: corpus, teachers, student, stages. One arm of it makes one run."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")
    seed: int = Field(0, ge=0)
    arms: tuple[Arm, ...] = Field(("coat",), min_length=1, description="sft: same rows and steps, no block, no experts")
    backbone: BackboneConfig = BackboneConfig()
    lora: LoraSection = LoraSection()
    projector: ProjectorConfig = ProjectorConfig()
    corpus: CorpusConfig = CorpusConfig()
    experts: dict[str, ExpertConfig] = Field(default_factory=dict, description="role -> teacher")
    stages: tuple[StageConfig, ...] = Field(min_length=1)
    balance: BalanceConfig = BalanceConfig()
    optim: OptimConfig = OptimConfig()
    training: TrainingConfig = TrainingConfig()
    augment: AugmentConfig = AugmentConfig()
    deepspeed: DeepSpeedConfig = DeepSpeedConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    tracking: TrackingConfig = TrackingConfig()
    resources: ResourcesConfig = ResourcesConfig()

    @model_validator(mode="after")
    def _weights_have_an_expert(self) -> RunConfig:
        if RECON in self.experts:
            raise ValueError(
                f"{RECON!r} is the backbone's own tower and takes no entry under experts; "
                f"a codec goes beside it under a role of its own"
            )
        known = {RECON, *self.experts}
        for stage in self.stages:
            for role in stage.weights:
                if role not in known:
                    raise ValueError(
                        f"stage {stage.name!r} weights {role!r}, which is neither {RECON!r} nor one of experts "
                        f"{sorted(self.experts)}{_suggest(role, known)}"
                    )
        return self

    @model_validator(mode="after")
    def _pools_have_an_expert(self) -> RunConfig:
        known = set(self.experts)
        for role in self.resources.encode_pools:
            if role not in known:
                raise ValueError(f"resources.encode_pools names {role!r}, which is no expert{_suggest(role, known)}")
        return self

    @model_validator(mode="after")
    def _names_are_unique(self) -> RunConfig:
        names = [stage.name for stage in self.stages]
        for kind, values in (("stage", names), ("arm", self.arms)):
            if len(set(values)) < len(values):
                raise ValueError(f"each {kind} once; found {', '.join(values)}")
        return self

    @property
    def total_steps(self) -> int:
        """Optimiser steps over all stages."""
        return sum(stage.steps for stage in self.stages)


def load_config(path: Path | str, model: type[SectionT], overrides: list[str] | None = None) -> SectionT:
    """Read a YAML file, apply ``key.sub=value`` overrides and validate.

    Raises:
        ConfigError: file missing, not YAML, unknown key (with its nearest neighbour), or a value out of range.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"no configuration file at {path}")
    try:
        tree = OmegaConf.load(path)
        for override in overrides or []:
            _override(tree, override)
        _refuse_lookups(OmegaConf.to_container(tree), str(path))
        data = OmegaConf.to_container(tree, resolve=True)
    except ConfigError:
        raise
    except (OmegaConfBaseException, YAMLError, ValueError, TypeError, OSError) as error:
        raise ConfigError(f"{path}: {error}") from error
    return validate(data, model, origin=str(path))


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
    """Allow ``${other.key}`` but no resolvers: a file must not read the environment of whoever loads it."""
    if isinstance(data, dict):
        for value in data.values():
            _refuse_lookups(value, origin)
    elif isinstance(data, list):
        for value in data:
            _refuse_lookups(value, origin)
    elif isinstance(data, str) and _RESOLVER.search(data):
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
    return f"{origin}: unknown key {where!r}{_suggest(str(error['loc'][-1]), known)}"


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


def _suggest(key: str, known: set[str]) -> str:
    near = difflib.get_close_matches(key, sorted(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""
