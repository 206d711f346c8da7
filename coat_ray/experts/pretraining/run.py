"""Train the three embedded teachers on SoundWorld's train split and write their weights and a card."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from coat_ray.corpus.soundworld.splits import Split
from coat_ray.experts.pretraining.data import Source, soundworld_examples
from coat_ray.experts.pretraining.fit import Report, Schedule, fit
from coat_ray.experts.pretraining.front import LogMelReader, front_losses
from coat_ray.experts.pretraining.tasks import TRAININGS, Lesson
from coat_ray.experts.spidr import EMBEDDED as SPIDR_SIZE
from coat_ray.experts.spidr import FeatureExtractor
from coat_ray.experts.weights import save_embedded
from coat_ray.storage import atomic_write

LOG = logging.getLogger(__name__)
FRONT = "front"
HELD_OUT: tuple[Split, ...] = ("validation", "test")
SCHEDULES = {
    FRONT: Schedule(steps=600, batch=48, lr=2e-3),
    "spidr": Schedule(steps=1500, batch=16, lr=1.5e-3),
    "panns": Schedule(steps=1000, batch=16, lr=2e-3),
    "emotion2vec": Schedule(steps=800, batch=16, lr=1.5e-3),
}


def pretrain_experts(
    out_folder: Path,
    seed: int = 0,
    examples: Source | None = None,
    schedules: dict[str, Schedule] | None = None,
    report: Report = LOG.info,
) -> dict[str, dict[str, Any]]:
    """Train, score on the held-out splits, and write ``<name>.safetensors`` and ``card.json`` under *out_folder*.

    Args:
        out_folder: where the weights go; ``coat_ray/experts/embedded`` to ship them.
        seed: of clips, weights and order; the same seed on the same machine gives the same weights.
        examples: (split, "speech" or "sound") -> clips; None: freshly rendered from SoundWorld.
        schedules: by name of teacher, or "front"; only the named teachers are trained. None: all, at full length.
        report: called with lines of progress; the module's logger by default.

    Returns:
        The card: per teacher its data, schedule, scores and seconds.
    """
    examples = examples or soundworld_examples(seed)
    schedules = schedules or SCHEDULES
    card: dict[str, dict[str, Any]] = {}
    front = train_front(examples, schedules.get(FRONT, SCHEDULES[FRONT]), seed, report)
    for name in (name for name in schedules if name != FRONT):
        train, subject = TRAININGS[name]
        torch.manual_seed(seed)
        started = time.monotonic()
        clips = examples("train", subject)
        report(f"{name}: {len(clips)} clips to learn from")
        trained = train(Lesson(clips, schedules[name], np.random.default_rng(seed), report, front))
        save_embedded(out_folder / f"{name}.safetensors", trained.state, {"size": "embedded", **trained.meta})
        card[name] = {
            "data": f"SoundWorld, {len(clips)} clips of its train split",
            "schedule": asdict(schedules[name]),
            "seed": seed,
            "scores": {split: trained.score(examples(split, subject)) for split in HELD_OUT},
            "seconds": round(time.monotonic() - started),
        }
        _update_card(out_folder / "card.json", card)
        report(f"{name}: {json.dumps(card[name]['scores'])} after {card[name]['seconds']} s")
    return card


def train_front(examples: Source, schedule: Schedule, seed: int, report: Report) -> FeatureExtractor:
    """The frozen convolutions that both waveform encoders start from."""
    torch.manual_seed(seed)
    clips = examples("train", "speech")
    front, reader = FeatureExtractor(SPIDR_SIZE.conv_dim), LogMelReader(SPIDR_SIZE.conv_dim)
    losses = front_losses(front, reader, clips, schedule.batch, np.random.default_rng(seed))
    fit(torch.nn.ModuleList([front, reader]), losses, schedule, FRONT, report)
    return front.requires_grad_(False)


def _update_card(path: Path, card: dict[str, dict[str, Any]]) -> None:
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    atomic_write(path, json.dumps(known | card, indent=2, sort_keys=True) + "\n")
