"""What each embedded teacher learns from: letters, AudioSet classes, affect.

Shapes: B batch, L frames, T mel frames, M mel bins, D width, C classes or channels, G clips of one length.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coat_ray.experts import audioset
from coat_ray.experts.base import ClassifierHead
from coat_ray.experts.emotion2vec import EMBEDDED as EMOTION_SIZE
from coat_ray.experts.emotion2vec import Emotion2vecEncoder
from coat_ray.experts.panns import COMPUTED, PannsEncoder
from coat_ray.experts.panns import EMBEDDED as PANNS_SIZE
from coat_ray.experts.pretraining.data import (
    AFFECTS,
    LETTERS,
    SEXES,
    Example,
    by_length,
    draws,
    filled,
    flat_alignment,
    letters_of,
    revoiced,
)
from coat_ray.experts.pretraining.fit import Report, Schedule, fit
from coat_ray.experts.pretraining.front import as_emotion2vec, local_features
from coat_ray.experts.pretraining.scores import affect_scores, at_32k, event_scores, letter_scores
from coat_ray.experts.spidr import EMBEDDED as SPIDR_SIZE
from coat_ray.experts.spidr import FeatureExtractor, SpidrEncoder


@dataclass(frozen=True)
class Lesson:
    """What a training is given: clips to learn from, and the convolutions to start from."""

    clips: list[Example]
    schedule: Schedule
    rng: np.random.Generator
    report: Report
    front: FeatureExtractor


@dataclass(frozen=True)
class Trained:
    """Weights, what their header says, and how to score them on held-out clips."""

    state: dict[str, Tensor]
    meta: dict[str, Any]
    score: Callable[[list[Example]], dict[str, float]]


def train_spidr(lesson: Lesson) -> Trained:
    """CTC over letters, read from the tapped layer by the head that is stored with the weights."""
    encoder, head = SpidrEncoder(SPIDR_SIZE), ClassifierHead(SPIDR_SIZE.embed_dim, len(LETTERS)).requires_grad_(True)
    encoder.feature_extractor.load_state_dict(lesson.front.state_dict())
    groups, stored = by_length(lesson.clips), local_features(lesson.front, lesson.clips, lesson.rng)

    def losses() -> Iterator[dict[str, Tensor]]:
        for step, (length, places) in enumerate(draws(groups, lesson.schedule.batch, lesson.rng)):
            batch = [groups[length][place] for place in places]
            logits_BLC = head(encoder.from_local(hide(stored[length][places], lesson.rng)))
            guess_BL = torch.stack([flat_alignment(example.signal, length, example.text) for example in batch])
            flat = F.cross_entropy(logits_BLC.flatten(0, 1), guess_BL.flatten())
            yield {
                "ctc": ctc_loss(logits_BLC, [letters_of(example.text) for example in batch]),
                "flat": flat * max(0.0, 1.0 - step / (0.3 * lesson.schedule.steps)),
            }

    fit(
        nn.ModuleList([encoder.feature_projection, encoder.student, head]),
        losses(),
        lesson.schedule,
        "spidr",
        lesson.report,
    )
    meta = {"config": asdict(SPIDR_SIZE), "labels": list(LETTERS)}
    return Trained(_state(encoder, head), meta, partial(letter_scores, encoder, head))


def ctc_loss(logits_BLC: Tensor, targets: list[Tensor]) -> Tensor:
    """Connectionist temporal classification, all frames valid."""
    log_LBC = logits_BLC.log_softmax(-1).transpose(0, 1)
    lengths = torch.full((len(targets),), len(log_LBC))
    return F.ctc_loss(log_LBC, torch.cat(targets), lengths, torch.tensor([len(t) for t in targets]))


def train_emotion2vec(lesson: Lesson) -> Trained:
    """Affect (the stored head) and sex (a helper) from the mean over frames."""
    width = EMOTION_SIZE.embed_dim
    encoder, head = Emotion2vecEncoder(EMOTION_SIZE), ClassifierHead(width, len(AFFECTS)).requires_grad_(True)
    nn.init.normal_(encoder.audio.extra_tokens, std=0.02)
    encoder.audio.local_encoder.load_state_dict(as_emotion2vec(lesson.front))
    encoder.audio.local_encoder.requires_grad_(False)
    sex_head = nn.Linear(width, len(SEXES))
    clips = [*lesson.clips, *(revoiced(example, lesson.rng) for example in lesson.clips)]
    groups, stored = by_length(clips), local_features(lesson.front, clips, lesson.rng)

    def losses() -> Iterator[dict[str, Tensor]]:
        for length, places in draws(groups, lesson.schedule.batch, lesson.rng):
            batch = [groups[length][place] for place in places]
            mean_BD = encoder.from_local(hide(stored[length][places], lesson.rng).transpose(1, 2)).mean(1)
            affect_B = torch.tensor([AFFECTS.index(example.affect) for example in batch])
            sex_B = torch.tensor([SEXES.index(example.sex) for example in batch])
            yield {
                "affect": F.cross_entropy(head(mean_BD), affect_B, label_smoothing=0.05),
                "sex": F.cross_entropy(sex_head(mean_BD), sex_B),
            }

    fit(nn.ModuleList([encoder, head, sex_head]), losses(), lesson.schedule, "emotion2vec", lesson.report)
    meta = {"config": asdict(EMOTION_SIZE), "labels": list(AFFECTS)}
    return Trained(_state(encoder, head), meta, partial(affect_scores, encoder, head))


def train_panns(lesson: Lesson) -> Trained:
    """Classes of a clip from its segments' logits, pooled by a soft maximum: every segment learns from every clip."""
    encoder = PannsEncoder(PANNS_SIZE)
    nn.init.constant_(encoder.fc_audioset.bias, -5.0)  # nearly all of the 527 classes never sound
    groups = by_length(lesson.clips)
    mels = {length: log_mels(encoder, group, length) for length, group in groups.items()}

    def losses() -> Iterator[dict[str, Tensor]]:
        for length, places in draws(groups, lesson.schedule.batch, lesson.rng):
            mel_BTM = augment(mels[length][places], lesson.rng)
            logits_BSC = encoder.fc_audioset(F.dropout(encoder.from_log_mel(mel_BTM), 0.2))
            logits_BC = logits_BSC.logsumexp(1) - math.log(logits_BSC.shape[1])
            wanted_BC = torch.stack([class_vector(groups[length][place]) for place in places])
            loss = F.binary_cross_entropy_with_logits(logits_BC, wanted_BC, reduction="none").sum(1).mean()
            yield {"classes": loss}

    fit(encoder, losses(), lesson.schedule, "panns", lesson.report)
    state = {f"encoder.{key}": value for key, value in encoder.state_dict().items() if key not in COMPUTED}
    return Trained(state, {"config": asdict(PANNS_SIZE)}, partial(event_scores, encoder))


@torch.inference_mode()
def log_mels(encoder: PannsEncoder, examples: list[Example], length: int) -> Tensor:
    """Mel power in dB (G, T, M) of clips that fill up to one length; computed once, since its matrices are fixed."""
    return torch.cat([encoder.log_mel(at_32k(signal)[None]) for signal in filled(examples, length)]).clone()


def class_vector(example: Example) -> Tensor:
    """Ones at the AudioSet classes of a clip, (527,)."""
    vector = torch.zeros(audioset.NUM_CLASSES)
    vector[[audioset.CLASSES[name] for name in example.classes]] = 1.0
    return vector


def augment(mel_BTM: Tensor, rng: np.random.Generator) -> Tensor:
    """Another loudness, a slightly shifted spectrum, and a hidden band and moment: new timbres out of few."""
    mel_BTM = mel_BTM + torch.from_numpy(rng.uniform(-6, 6, (len(mel_BTM), 1, 1))).float()
    mel_BTM = mel_BTM.roll(int(rng.integers(-2, 3)), dims=2)
    band, moment = int(rng.integers(0, mel_BTM.shape[2] - 6)), int(rng.integers(0, mel_BTM.shape[1] - 12))
    floor = mel_BTM.mean()
    mel_BTM[:, :, band : band + 6] = floor
    mel_BTM[:, moment : moment + 12] = floor
    return mel_BTM


def hide(local_BLC: Tensor, rng: np.random.Generator) -> Tensor:
    """Features with one moment of up to 0.12 s hidden, and a little noise."""
    hidden_BLC = local_BLC + 0.1 * torch.from_numpy(rng.standard_normal(local_BLC.shape, dtype=np.float32))
    at = int(rng.integers(0, local_BLC.shape[1] - 6))
    hidden_BLC[:, at : at + int(rng.integers(0, 7))] = 0.0
    return hidden_BLC


def _state(encoder: nn.Module, head: nn.Module) -> dict[str, Tensor]:
    return {f"{part}.{k}": v for part, m in (("encoder", encoder), ("head", head)) for k, v in m.state_dict().items()}


TRAININGS: dict[str, tuple[Callable[[Lesson], Trained], str]] = {
    "spidr": (train_spidr, "speech"),
    "panns": (train_panns, "sound"),
    "emotion2vec": (train_emotion2vec, "speech"),
}
"""Name of the teacher -> its training and the subject of the clips it hears."""
