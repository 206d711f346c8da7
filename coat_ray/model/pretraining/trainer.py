"""Training of the embedded model: answers, mel reconstruction and spelling, all at once.

It repeats the paper's situation at small size: a tower that keeps acoustics (trained to rebuild the mel spectrogram and
to spell), and a language model that learned only text-aligned tasks. Shapes: B rows, S positions, D hidden size.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Qwen2AudioProcessor

from coat_ray.model.backbones.base import AUDIO_MARK, AudioFeatures
from coat_ray.model.backbones.qwen2_audio import Qwen2AudioBackbone
from coat_ray.model.pretraining.lessons import Example

LETTERS = " abcdefghijklmnopqrstuvwxyz"
FRAMES_PER_TOKEN = 4
"""Mel frames (10 ms) per audio token (40 ms)."""
SEMITONE_BINS = 84
"""Log-frequency bins of the constant-Q target: seven octaves of semitones from C2, as in MERT's musical teacher."""
WINDOW = 16
"""Batches that are drawn together and sorted by length."""
LONGEST_GAP = 128
"""Positions left free before the assistant's header, in half of the rows: a large language model has met answers far
from and near to what they are about, and a small one that has not loses its way when a block comes between."""


@dataclass(frozen=True)
class BaseRecipe:
    """How the embedded model is trained."""

    steps: int = 3000
    batch_rows: int = 32
    lr: float = 1.5e-3
    warmup: int = 200
    mel_weight: float = 1.0
    semitone_weight: float = 0.5
    ctc_weight: float = 0.3
    seed: int = 0


class BaseTrainer:
    """Joint training of tower and language model: answers, mel reconstruction, spelling (CTC)."""

    def __init__(self, model: Any, processor: Qwen2AudioProcessor, recipe: BaseRecipe) -> None:
        self.recipe = recipe
        self.processor = processor
        self.backbone = Qwen2AudioBackbone(model, processor)
        hidden = self.backbone.hidden_size
        self.mel_head = nn.Linear(hidden, FRAMES_PER_TOKEN * model.config.audio_config.num_mel_bins)
        self.semitone_head = nn.Linear(hidden, SEMITONE_BINS)
        self.letter_head = nn.Linear(hidden, 1 + len(LETTERS))
        parameters = [
            p
            for m in (model, self.mel_head, self.semitone_head, self.letter_head)
            for p in m.parameters()
            if p.requires_grad
        ]
        self.parameters = parameters
        self._weights = {
            "answer": 1.0,
            "mel": recipe.mel_weight,
            "semitones": recipe.semitone_weight,
            "ctc": recipe.ctc_weight,
        }
        self._gaps = np.random.default_rng([recipe.seed, 1])
        self.optimizer = torch.optim.AdamW(parameters, lr=recipe.lr, betas=(0.9, 0.98), weight_decay=0.01)

    def run(self, examples: Sequence[Example], report: Callable[[int, dict[str, float]], None]) -> None:
        """Train for the recipe's steps on examples drawn by the seed; ``report`` gets step and losses now and then."""
        self.backbone.train()
        for step, picked in enumerate(self._draws(examples)):
            for group in self.optimizer.param_groups:
                group["lr"] = self.recipe.lr * _schedule(step, self.recipe)
            losses = self.losses(picked)
            loss = torch.stack([self._weights[name] * term for name, term in losses.items()]).sum()
            self.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.parameters, 1.0)
            self.optimizer.step()
            if step % 100 == 0 or step + 1 == self.recipe.steps:
                report(step, {name: float(value.detach()) for name, value in losses.items()})

    def _draws(self, examples: Sequence[Example]) -> Iterator[list[Example]]:
        """Batches of like length: a window of draws is sorted by length, cut, and its batches are shuffled."""
        rng, rows = np.random.default_rng(self.recipe.seed), self.recipe.batch_rows
        for start in range(0, self.recipe.steps, WINDOW):
            window = [examples[i] for i in rng.integers(len(examples), size=WINDOW * rows)]
            window.sort(key=lambda e: 0 if e.signal is None else self.backbone.front.audio_length(len(e.signal)))
            for i in rng.permutation(WINDOW)[: self.recipe.steps - start]:
                yield window[i * rows : (i + 1) * rows]

    def losses(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        """The four losses of a batch."""
        signals = [self.backbone.front.heard(e.signal) for e in examples if e.signal is not None]
        audio, z_audio = self._hear(signals)
        ids_BS, mask_BS, audio_BS, response_BS = self._layouts(examples)
        x_BSD = self.backbone.embed(ids_BS, audio_BS, z_audio)
        hidden_BSD = self.backbone.decode(x_BSD, mask_BS, positions_BS=self._positions(ids_BS))
        logits = self.backbone.lm_head(hidden_BSD[:, :-1][response_BS[:, 1:]])
        answer = F.cross_entropy(logits, ids_BS[:, 1:][response_BS[:, 1:]])
        spoken = [e.transcript for e in examples if e.signal is not None] or [""]
        return {
            "answer": answer,
            "mel": self._mel_loss(audio, z_audio),
            "semitones": self._semitone_loss(signals, audio, z_audio),
            "ctc": self._ctc_loss(audio, z_audio, spoken),
        }

    def _hear(self, signals: Sequence[np.ndarray]) -> tuple[AudioFeatures, Tensor]:
        """Features and audio embeddings; a batch of text alone hears a moment of silence, which nothing reads."""
        audio = self.backbone.front.features(signals or [np.zeros(1600, np.float32)])
        return audio, self.backbone.encode_audio(audio)

    def _layouts(self, examples: Sequence[Example]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        front, layouts = self.backbone.front, []
        for e in examples:
            mark = "" if e.signal is None else f"{AUDIO_MARK}\n"
            messages = [{"role": "user", "content": mark + e.question}, {"role": "assistant", "content": e.answer}]
            lengths = [] if e.signal is None else [front.audio_length(len(e.signal))]
            layouts.append(front.encode_row(messages, lengths, block=False, with_response=True))
        width = max(map(len, layouts))

        def stack(rows: Sequence[Sequence[int | bool]], fill: int | bool) -> Tensor:
            return torch.tensor([list(row) + [fill] * (width - len(row)) for row in rows])

        pad = front.tokenizer.pad_token_id
        return (
            stack([x.input_ids for x in layouts], pad),
            stack([[1] * len(x) for x in layouts], 0),
            stack([x.audio for x in layouts], False),
            stack([x.response for x in layouts], False),
        )

    def _positions(self, ids_BS: Tensor) -> Tensor:
        """Position ids (B, S) with a gap of random length before the assistant's header."""
        rows, width = ids_BS.shape
        start = self.backbone.front.tokenizer.convert_tokens_to_ids("<|im_start|>")
        header_B = width - 1 - (ids_BS == start).long().flip(1).argmax(1)
        drawn = self._gaps.integers(1, LONGEST_GAP + 1, rows) * (self._gaps.random(rows) < 0.5)
        steps = torch.arange(width)
        return steps + torch.from_numpy(drawn)[:, None] * (steps >= header_B[:, None])

    def _mel_loss(self, audio: AudioFeatures, z_audio: Tensor) -> Tensor:
        clips = zip(audio.features_NMF, audio.lengths_N.tolist(), strict=True)
        target = torch.cat([mel[:, : FRAMES_PER_TOKEN * n].T.reshape(n, -1) for mel, n in clips])
        return F.mse_loss(self.mel_head(z_audio), target)

    def _semitone_loss(self, signals: Sequence[np.ndarray], audio: AudioFeatures, z_audio: Tensor) -> Tensor:
        if not signals:
            return z_audio.sum() * 0
        lengths = audio.lengths_N.tolist()
        target = torch.cat([semitones(torch.from_numpy(s))[:n] for s, n in zip(signals, lengths, strict=True)])
        return F.mse_loss(self.semitone_head(z_audio), target)

    def _ctc_loss(self, audio: AudioFeatures, z_audio: Tensor, spoken: Sequence[str]) -> Tensor:
        lengths = audio.lengths_N.tolist()
        letters = [[1 + LETTERS.index(c) for c in text.lower() if c in LETTERS] for text in spoken]
        keep = [i for i, ids in enumerate(letters) if ids]
        if not keep:
            return z_audio.sum() * 0
        log_probs = self.letter_head(z_audio).log_softmax(-1)
        padded = nn.utils.rnn.pad_sequence([log_probs.split(lengths)[i] for i in keep])
        targets = torch.tensor([letter for i in keep for letter in letters[i]])
        sizes = torch.tensor([len(letters[i]) for i in keep])
        return F.ctc_loss(padded, targets, torch.tensor([lengths[i] for i in keep]), sizes, zero_infinity=True)


def semitones(signal_N: Tensor, rate: int = 16_000) -> Tensor:
    """Log energy per semitone at 25 Hz, (L, SEMITONE_BINS), from 128 ms windows; 0 is the loudest bin of the clip."""
    n_fft, hop = 2048, rate // 25
    spectrum = torch.stft(signal_N, n_fft, hop, window=torch.hann_window(n_fft), return_complex=True).abs().square()
    energy = torch.log10(semitone_filters(n_fft, rate) @ spectrum + 1e-8).T
    return (energy - energy.max()).clamp(min=-4) / 4


@functools.cache
def semitone_filters(n_fft: int, rate: int) -> Tensor:
    """Triangles one semitone wide on each side, (SEMITONE_BINS, n_fft // 2 + 1)."""
    frequency = torch.arange(n_fft // 2 + 1) * rate / n_fft
    pitch = 12 * torch.log2(frequency.clamp(min=1.0) / 65.406)
    return (1 - (pitch[None] - torch.arange(SEMITONE_BINS)[:, None]).abs()).clamp(min=0)


def _schedule(step: int, recipe: BaseRecipe) -> float:
    if step < recipe.warmup:
        return (step + 1) / recipe.warmup
    progress = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress))
