"""Every configuration model of the platform: load a YAML file, apply dotted overrides, validate.

All models are frozen and refuse unknown keys; an unknown key names its nearest neighbour. Values that the paper
(arXiv 2606.18273) states are marked "paper"; every other default is ours.
"""

from coat_ray.config.data import AugmentConfig, CorpusConfig, ExpertConfig
from coat_ray.config.loading import load_config, validate
from coat_ray.config.resources import PoolConfig, ResourcesConfig
from coat_ray.config.run import RECON, Arm, EvaluationConfig, RunConfig
from coat_ray.config.section import ConfigError, Section
from coat_ray.config.student import BackboneConfig, LoraSection, ProjectorConfig
from coat_ray.config.sweep import SweepConfig
from coat_ray.config.training import (
    BalanceConfig,
    DeepSpeedConfig,
    OptimConfig,
    StageConfig,
    TrackingConfig,
    TrainingConfig,
)

__all__ = [
    "RECON",
    "Arm",
    "AugmentConfig",
    "BackboneConfig",
    "BalanceConfig",
    "ConfigError",
    "CorpusConfig",
    "DeepSpeedConfig",
    "EvaluationConfig",
    "ExpertConfig",
    "LoraSection",
    "OptimConfig",
    "PoolConfig",
    "ProjectorConfig",
    "ResourcesConfig",
    "RunConfig",
    "Section",
    "StageConfig",
    "SweepConfig",
    "TrackingConfig",
    "TrainingConfig",
    "load_config",
    "validate",
]
