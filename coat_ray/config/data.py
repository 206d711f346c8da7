"""What is learned from: corpus, augmentation, experts."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat, model_validator

from coat_ray.config.section import Section


class CorpusConfig(Section):
    """Where the rows come from: a folder with train.jsonl, validation.jsonl and test.jsonl, or a built-in corpus."""

    name: str = Field("soundworld-mini", description="a built-in corpus, or the path of a folder with manifests")
    mixture: dict[str, PositiveFloat] | None = Field(
        None, min_length=1, description="share of each task group; None: as in the manifest"
    )
    max_repeats: int | None = Field(None, ge=1, description="how often a row may come in one stage; None: no bound")
    max_seconds: float = Field(30.0, gt=0)


class AugmentConfig(Section):
    """What is done to clips on their way into training.

    Experts' targets stay those of the clean clip; the reconstruction target is the tower's output for what is heard.
    """

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
