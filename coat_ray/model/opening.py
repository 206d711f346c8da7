"""Open a model by the name that people use: ``base``, a registered name or alias, or ``name@version``."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from coat_ray.config import BackboneConfig
from coat_ray.model.backbones import load_backbone
from coat_ray.model.backbones.base import Backbone
from coat_ray.model.coat import CoatModel
from coat_ray.model.devices import usable_device
from coat_ray.model.generate import Generator
from coat_ray.model.interventions import BlockTreatment
from coat_ray.registry.models import BASE, ModelRegistry


@dataclass(frozen=True)
class OpenModel:
    """A model in memory; ``coat`` is None for the bare backbone."""

    name: str
    backbone: Backbone
    coat: CoatModel | None = None

    @property
    def block(self) -> bool:
        """Whether it was trained with a thinking block."""
        return self.coat is not None and self.coat.block

    def generator(self, treatment: BlockTreatment = BlockTreatment.TRAINED) -> Generator:
        """A generator of answers; ``treatment`` says what is done to the block."""
        return Generator(self.backbone, block=self.block, treatment=treatment)


def open_model(
    name: str, backbone: BackboneConfig, registry: ModelRegistry, device: torch.device | None = None
) -> OpenModel:
    """Load ``base`` (the backbone as configured) or a registered model on the base that it was trained on.

    Args:
        name: ``base``, a model's name or alias, or ``name@version``.
        backbone: what ``base`` is.
        registry: where the models are.
        device: where the model runs; None: ``usable_device``.

    Raises:
        ModelNotFound: a name that the registry does not know, with its nearest neighbours.
    """
    device = device or usable_device()
    if name == BASE:
        return OpenModel(name, load_backbone(backbone).to(device))
    record = registry.resolve(name)
    model = CoatModel.load(BackboneConfig(**record.base), registry.adapter_folder(record)).to(device)
    return OpenModel(record.ref, model.backbone, model)
