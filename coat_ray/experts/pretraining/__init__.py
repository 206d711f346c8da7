"""How the embedded teachers are made: small encoders trained on SoundWorld, minutes on one core."""

from coat_ray.experts.pretraining.fit import Schedule
from coat_ray.experts.pretraining.run import SCHEDULES, pretrain_experts

__all__ = ["SCHEDULES", "Schedule", "pretrain_experts"]
