"""How well the embedded teachers do on clips with held-out voices, timbres and phrases."""

from __future__ import annotations

import jiwer
import numpy as np
import soxr
import torch
from sklearn.metrics import average_precision_score
from torch import Tensor, nn

from coat_ray.experts import audioset, panns, waveform
from coat_ray.experts.pretraining.data import AFFECTS, EVENT_CLASSES, Example, spell

INSTRUMENT_CLASSES = ("Flute", "Violin, fiddle", "Piano", "Organ", "Trumpet", "Guitar")


@torch.inference_mode()
def letter_scores(encoder: nn.Module, head: nn.Module, examples: list[Example]) -> dict[str, float]:
    """Letter error rate of the best path, and word error rate."""
    heard = [spell(head(_frames(encoder, example)).argmax(-1).tolist()) for example in examples]
    said = [example.text for example in examples]
    return {"letter_error": round(jiwer.cer(said, heard), 4), "word_error": round(jiwer.wer(said, heard), 4)}


@torch.inference_mode()
def affect_scores(encoder: nn.Module, head: nn.Module, examples: list[Example]) -> dict[str, float]:
    """Accuracy of the affect with the largest mean logit."""
    right = [AFFECTS[int(head(_frames(encoder, example)).mean(0).argmax())] == example.affect for example in examples]
    return {"affect_accuracy": round(float(np.mean(right)), 4)}


@torch.inference_mode()
def event_scores(encoder: panns.PannsEncoder, examples: list[Example]) -> dict[str, float]:
    """Mean average precision over the dozen events and over the instruments, clips scored by their best segment."""
    scores = np.stack([_clip_logits(encoder, example).numpy() for example in examples])

    def mean_precision(names: tuple[str, ...]) -> float:
        parts = []
        for name in names:
            truth = np.array([name in example.classes for example in examples])
            parts.append(average_precision_score(truth, scores[:, audioset.CLASSES[name]]))
        return round(float(np.mean(parts)), 4)

    return {"events_map": mean_precision(EVENT_CLASSES), "instruments_map": mean_precision(INSTRUMENT_CLASSES)}


def _frames(encoder: nn.Module, example: Example) -> Tensor:
    return encoder(waveform.standardise(torch.from_numpy(example.signal)[None]))[0]


def _clip_logits(encoder: panns.PannsEncoder, example: Example) -> Tensor:
    return encoder.fc_audioset(encoder(at_32k(example.signal)[None])).amax(1)[0]


def at_32k(signal: np.ndarray) -> Tensor:
    """A 16 kHz signal at the tagger's rate."""
    return torch.from_numpy(soxr.resample(signal, waveform.SAMPLE_RATE, panns.SAMPLE_RATE)).float()
