"""Train the three embedded teachers on SoundWorld's train split and write their weights and a card.

spidr: CTC over letters at the tapped layer. emotion2vec: affect and sex from the mean over frames. panns: the AudioSet
classes of a clip from its loudest segment. The two waveform encoders also learn to tell the log-mel spectrum from their
local features, which shapes the convolutions long before the sparse labels could.

Shapes: B batch, N samples, L frames, T mel frames, M mel bins, D width, C classes.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
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
from coat_ray.experts.pretraining_data import (
    AFFECTS,
    LETTERS,
    SEXES,
    Example,
    LogMelTarget,
    Source,
    batches,
    by_length,
    draws,
    filled,
    flat_alignment,
    letters_of,
)
from coat_ray.experts.pretraining_scores import affect_scores, at_32k, event_scores, letter_scores
from coat_ray.experts.spidr import EMBEDDED as SPIDR_SIZE
from coat_ray.experts.spidr import SpidrEncoder
from coat_ray.experts.weights import save_embedded

Report = Callable[[str], None]
LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Schedule:
    """Length and pace of one training."""

    steps: int
    batch: int
    lr: float


SCHEDULES = {
    "spidr": Schedule(steps=700, batch=16, lr=1e-3),
    "panns": Schedule(steps=500, batch=16, lr=2e-3),
    "emotion2vec": Schedule(steps=450, batch=16, lr=2e-3),
}


def pretrain_experts(
    out_folder: Path,
    examples: Source,
    seed: int = 0,
    schedules: dict[str, Schedule] | None = None,
    report: Report = LOG.info,
) -> dict[str, dict[str, Any]]:
    """Train, score on the validation split, and write ``<name>.safetensors`` and ``card.json`` under *out_folder*.

    Args:
        out_folder: where the weights go; ``coat_ray/experts/embedded`` to ship them.
        examples: (split, "speech" or "sound") -> clips; ``pretraining_data.soundworld_examples`` makes it.
        seed: of weights and order.
        schedules: by name of expert; only the named ones are trained. None: all, at the usual length.
        report: called with lines of progress; the module's logger by default.
    """
    card: dict[str, dict[str, Any]] = {}
    for name, schedule in (schedules or SCHEDULES).items():
        train, kind = TRAININGS[name]
        torch.manual_seed(seed)
        started = time.monotonic()
        clips, held_out = examples("train", kind), examples("validation", kind)
        report(f"{name}: {len(clips)} clips to learn from, {len(held_out)} held out")
        state, meta, scores = train(clips, held_out, schedule, np.random.default_rng(seed), report)
        save_embedded(out_folder / f"{name}.safetensors", state, {"size": "embedded", **meta})
        card[name] = {
            "data": f"SoundWorld, {len(clips)} train clips",
            "schedule": asdict(schedule),
            "seed": seed,
            "scores": scores,
            "seconds": round(time.monotonic() - started),
        }
        report(f"{name}: {json.dumps(scores)} after {card[name]['seconds']} s")
    path = out_folder / "card.json"
    known = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(known | card, indent=2, sort_keys=True) + "\n")
    return card


def fit(module: nn.Module, losses: Iterator[dict[str, Tensor]], schedule: Schedule, name: str, report: Report) -> None:
    """AdamW with a one-cycle rate over *losses*, each a dict of terms that are summed."""
    trained = [p for p in module.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=schedule.lr, weight_decay=0.01)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, schedule.lr, total_steps=schedule.steps, pct_start=0.15)
    started = time.monotonic()
    sums: dict[str, float] = {}
    module.train()
    for step in range(1, schedule.steps + 1):
        terms = next(losses)
        optimiser.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        cycle.step()
        sums = {key: sums.get(key, 0.0) + value.item() for key, value in terms.items()}
        if step % 25 == 0:
            said = "  ".join(f"{key} {value / 25:.3f}" for key, value in sums.items())
            report(f"{name}: step {step}/{schedule.steps}  {said}  {time.monotonic() - started:.0f} s")
            sums = {}
    module.eval()


Trained = tuple[dict[str, Tensor], dict[str, Any], dict[str, float]]


def train_spidr(clips: list[Example], held_out: list[Example], schedule: Schedule, rng: Any, report: Report) -> Trained:
    """CTC over letters, read from the tapped layer by the head that is stored with the weights."""
    encoder, head = SpidrEncoder(SPIDR_SIZE), ClassifierHead(SPIDR_SIZE.embed_dim, len(LETTERS)).requires_grad_(True)
    mel = LogMelTarget(SPIDR_SIZE.embed_dim)

    def losses() -> Iterator[dict[str, Tensor]]:
        for step, (waves_BN, batch) in enumerate(batches(clips, schedule.batch, rng)):
            local_BLD = encoder.feature_projection(encoder.feature_extractor(waves_BN))
            logits_BLC = head(encoder.student(local_BLD, SPIDR_SIZE.layer))
            guess_BL = torch.stack(
                [flat_alignment(wave, example.text) for wave, example in zip(waves_BN, batch, strict=True)]
            )
            flat = F.cross_entropy(logits_BLC.flatten(0, 1), guess_BL.flatten(), ignore_index=-1)
            yield {
                "ctc": ctc_loss(logits_BLC, [letters_of(example.text) for example in batch]),
                "flat": flat * max(0.0, 1.0 - step / (0.5 * schedule.steps)),
                "mel": mel.loss(local_BLD, waves_BN),
            }

    fit(nn.ModuleList([encoder, head, mel]), losses(), schedule, "spidr", report)
    meta = {"config": asdict(SPIDR_SIZE), "labels": list(LETTERS)}
    return _state(encoder, head), meta, letter_scores(encoder, head, held_out)


def ctc_loss(logits_BLC: Tensor, targets: list[Tensor]) -> Tensor:
    """Connectionist temporal classification, all frames valid."""
    log_LBC = logits_BLC.log_softmax(-1).transpose(0, 1)
    lengths = torch.full((len(targets),), len(log_LBC))
    return F.ctc_loss(log_LBC, torch.cat(targets), lengths, torch.tensor([len(t) for t in targets]))


def train_emotion2vec(
    clips: list[Example], held_out: list[Example], schedule: Schedule, rng: Any, report: Report
) -> Trained:
    """Affect (the stored head) and sex (a helper) from the mean over frames."""
    width = EMOTION_SIZE.embed_dim
    encoder, head = Emotion2vecEncoder(EMOTION_SIZE), ClassifierHead(width, len(AFFECTS)).requires_grad_(True)
    audio: Any = encoder.modality_encoders["AUDIO"]
    nn.init.normal_(audio.extra_tokens, std=0.02)
    sex_head, mel = nn.Linear(width, len(SEXES)), LogMelTarget(width)

    def losses() -> Iterator[dict[str, Tensor]]:
        for waves_BN, batch in batches(clips, schedule.batch, rng):
            mean_BD = encoder(waves_BN).mean(1)
            affect_B = torch.tensor([AFFECTS.index(example.affect) for example in batch])
            sex_B = torch.tensor([SEXES.index(example.sex) for example in batch])
            local_BLD = audio.project_features(audio.local_encoder(waves_BN))
            yield {
                "affect": F.cross_entropy(head(mean_BD), affect_B, label_smoothing=0.05),
                "sex": F.cross_entropy(sex_head(mean_BD), sex_B),
                "mel": mel.loss(local_BLD, waves_BN),
            }

    fit(nn.ModuleList([encoder, head, sex_head, mel]), losses(), schedule, "emotion2vec", report)
    meta = {"config": asdict(EMOTION_SIZE), "labels": list(AFFECTS)}
    return _state(encoder, head), meta, affect_scores(encoder, head, held_out)


def train_panns(clips: list[Example], held_out: list[Example], schedule: Schedule, rng: Any, report: Report) -> Trained:
    """Classes of a clip from the largest logit over its segments, as the official training does."""
    encoder = PannsEncoder(PANNS_SIZE)
    nn.init.constant_(encoder.fc_audioset.bias, -4.0)
    groups = by_length(clips)
    mels = {length: log_mels(encoder, group, length) for length, group in groups.items()}

    def losses() -> Iterator[dict[str, Tensor]]:
        for length, places in draws(groups, schedule.batch, rng):
            mel_BTM = augment(mels[length][places], rng)
            logits_BC = encoder.fc_audioset(F.dropout(encoder.from_log_mel(mel_BTM), 0.2)).amax(1)
            wanted_BC = torch.stack([class_vector(groups[length][place]) for place in places])
            loss = F.binary_cross_entropy_with_logits(logits_BC, wanted_BC, reduction="none").sum(1).mean()
            yield {"classes": loss}

    fit(encoder, losses(), schedule, "panns", report)
    state = {f"encoder.{key}": value for key, value in encoder.state_dict().items() if key not in COMPUTED}
    return state, {"config": asdict(PANNS_SIZE)}, event_scores(encoder, held_out)


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


def _state(encoder: nn.Module, head: nn.Module) -> dict[str, Tensor]:
    return {f"{part}.{k}": v for part, m in (("encoder", encoder), ("head", head)) for k, v in m.state_dict().items()}


TRAININGS = {
    "spidr": (train_spidr, "speech"),
    "panns": (train_panns, "sound"),
    "emotion2vec": (train_emotion2vec, "speech"),
}
