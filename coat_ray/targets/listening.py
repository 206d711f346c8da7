"""Teachers beside an answer: what the experts behind a model hear in one clip, on the grid of its block.

Shapes: L block positions, E expert width.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from threading import Lock

import numpy as np

from coat_ray.audio import resample
from coat_ray.config import ExpertConfig
from coat_ray.experts.base import Expert, ExpertSpec
from coat_ray.experts.registry import expert_class, load_expert
from coat_ray.targets.align import align

logger = logging.getLogger(__name__)

RATE = 16_000
"""Of the signals that are heard here. A teacher of another rate hears them resampled."""


class Listener:
    """Experts on the CPU, loaded at their first clip and kept; safe on any thread.

    An expert is used where its weights are at hand, embedded or official, and have exactly the facts that a model was
    trained with; what cannot hear a clip is left out.
    """

    def __init__(self, load: Callable[[ExpertConfig], Expert] = load_expert) -> None:
        self._load, self._lock = load, Lock()
        self._experts: dict[ExpertSpec, Expert | None] = {}

    def hear(self, specs: Mapping[str, ExpertSpec], signal: np.ndarray, length: int) -> dict[str, np.ndarray]:
        """Features of each role whose expert can run, float32 (L, E).

        Args:
            specs: role -> facts of the expert, as the model's own files state them.
            signal: mono float32 (n,) at 16 kHz.
            length: L, audio tokens of the clip.
        """
        found = {}
        for role, spec in specs.items():
            expert = self._expert(spec)
            if expert is None:
                continue
            try:
                [frames] = expert.encode([resample(signal, RATE, spec.sample_rate)])
            except ValueError as error:  # shorter than it takes
                logger.info("%s does not hear a clip: %s", spec.name, error)
                continue
            found[role] = align(frames, spec.rate, spec.first_center, length)
        return found

    def _expert(self, spec: ExpertSpec) -> Expert | None:
        with self._lock:
            if spec not in self._experts:
                self._experts[spec] = self._found(spec)
            return self._experts[spec]

    def _found(self, spec: ExpertSpec) -> Expert | None:
        try:
            kind = expert_class(spec.name)
        except ValueError:
            return None
        for weights in ("embedded", *(["official"] if kind.official_path() else [])):
            try:
                expert = self._load(ExpertConfig(model=spec.name, weights=weights))
            except ValueError as error:
                logger.info("%s with %s weights: %s", spec.name, weights, error)
                continue
            if expert.spec == spec:
                return expert
        return None
