"""How training goes: stages, loss balance, optimiser, DeepSpeed, the loop, where metrics go."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, NonNegativeFloat, field_validator, model_validator

from coat_ray.config.section import Section

PAPER_BATCH_ROWS = 16


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
    offload_optimizer: bool = Field(False, description="optimiser state in the memory of the CPU; from stage 1 on")
    offload_parameters: bool = Field(False, description="the base's weights, too; at stage 3")

    @model_validator(mode="after")
    def _offload_has_an_effect(self) -> DeepSpeedConfig:
        if self.offload_optimizer and self.zero_stage == 0:
            raise ValueError("offload_optimizer has no effect at zero_stage 0: set 1, 2 or 3")
        if self.offload_parameters and self.zero_stage != 3:
            raise ValueError(f"offload_parameters has no effect at zero_stage {self.zero_stage}: set 3")
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
    compile_layers: bool = Field(False, description="torch.compile for the decoder's layers; pays on GPUs")
    skip_nonfinite: int = Field(
        0, ge=0, description="parts of batches with a NaN or infinite loss that may be left out before training stops"
    )
    checkpoint_every: int = Field(100, ge=1)
    snapshot_every: int | None = Field(
        None, ge=1, description="also keep the adapter as it is after every so many steps, to look into it later"
    )
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
