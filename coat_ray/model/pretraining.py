"""Makes the embedded Qwen2-Audio from nothing on SoundWorld: tokenizer, tower and language model.

It repeats the paper's situation at small size: a tower that keeps acoustics (trained to rebuild the mel spectrogram and
to spell), and a language model that learned only text-aligned tasks. Notes, affect and the like are never taught here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2AudioConfig,
    Qwen2AudioEncoderConfig,
    Qwen2AudioForConditionalGeneration,
    Qwen2AudioProcessor,
    Qwen2Config,
    WhisperFeatureExtractor,
)

from coat_ray.model.backbones.base import AudioFeatures
from coat_ray.model.backbones.qwen2_audio import Qwen2AudioBackbone

CHAT_TEMPLATE = (
    "{% set clips = namespace(n=0) %}{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'audio' %}{% set clips.n = clips.n + 1 %}Audio {{ clips.n }}: "
    "<|audio_bos|><|AUDIO|><|audio_eos|>\n{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|audio_bos|>", "<|AUDIO|>", "<|audio_eos|>")
LETTERS = " abcdefghijklmnopqrstuvwxyz"
FRAMES_PER_TOKEN = 4
"""Mel frames (10 ms) per audio token (40 ms)."""
WINDOW = 16
"""Batches that are drawn together and sorted by length."""


@dataclass(frozen=True)
class BaseSize:
    """Sizes of the embedded model. Heads are 32 wide so that vLLM's CPU kernels take it."""

    hidden: int = 128
    tower_layers: int = 2
    layers: int = 4
    heads: int = 4
    ffn: int = 384
    mel_bins: int = 128
    spare_rows: int = 16


@dataclass(frozen=True)
class BaseRecipe:
    """How the embedded model is trained."""

    steps: int = 6000
    batch_rows: int = 32
    lr: float = 1.5e-3
    warmup: int = 200
    mel_weight: float = 1.0
    ctc_weight: float = 0.3
    seed: int = 0


@dataclass(frozen=True)
class Example:
    """One training conversation: a clip (mono, 16 kHz) or none, the words spoken in it, question and answer."""

    signal: np.ndarray | None
    transcript: str
    question: str
    answer: str


def train_tokenizer(texts: Sequence[str], vocab_size: int = 512) -> PreTrainedTokenizerFast:
    """Byte-level BPE on the world's texts: any text encodes, the world's words take one token each."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator([f"{text}\n" for text in texts], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token="<|endoftext|>", eos_token="<|im_end|>", clean_up_tokenization_spaces=False
    )


def build_base(tokenizer: PreTrainedTokenizerFast, size: BaseSize, seed: int) -> tuple[Any, Qwen2AudioProcessor]:
    """An untrained model of the class and layout of Qwen2-Audio, and its processor."""
    torch.manual_seed(seed)
    vocab = -(-(len(tokenizer) + size.spare_rows) // 64) * 64
    config = Qwen2AudioConfig(
        audio_config=Qwen2AudioEncoderConfig(
            num_mel_bins=size.mel_bins,
            encoder_layers=size.tower_layers,
            encoder_attention_heads=size.heads,
            encoder_ffn_dim=size.ffn,
            d_model=size.hidden,
        ).to_dict(),
        text_config=Qwen2Config(
            vocab_size=vocab,
            hidden_size=size.hidden,
            intermediate_size=size.ffn,
            num_hidden_layers=size.layers,
            num_attention_heads=size.heads,
            num_key_value_heads=size.heads,
            max_position_embeddings=4096,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            tie_word_embeddings=False,
        ).to_dict(),
        audio_token_index=int(tokenizer.vocab["<|AUDIO|>"]),
    )
    model = Qwen2AudioForConditionalGeneration(config)
    positions = model.model.audio_tower.embed_positions.weight
    with torch.no_grad():
        positions.copy_(sinusoids(*positions.shape))
    extractor = WhisperFeatureExtractor(feature_size=size.mel_bins, return_attention_mask=True)
    return model, Qwen2AudioProcessor(extractor, tokenizer, chat_template=CHAT_TEMPLATE)


def sinusoids(length: int, channels: int, max_timescale: float = 10_000) -> Tensor:
    """Whisper's fixed positional embedding (length, channels)."""
    half = channels // 2
    rates = torch.exp(-math.log(max_timescale) / (half - 1) * torch.arange(half))
    angles = torch.arange(length)[:, None] * rates[None]
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class BaseTrainer:
    """Joint training of tower and language model: answers, mel reconstruction, spelling (CTC)."""

    def __init__(self, model: Any, processor: Qwen2AudioProcessor, recipe: BaseRecipe) -> None:
        self.recipe = recipe
        self.processor = processor
        self.backbone = Qwen2AudioBackbone(model, processor)
        hidden = self.backbone.hidden_size
        self.mel_head = nn.Linear(hidden, FRAMES_PER_TOKEN * model.config.audio_config.num_mel_bins)
        self.letter_head = nn.Linear(hidden, 1 + len(LETTERS))
        parameters = [p for m in (model, self.mel_head, self.letter_head) for p in m.parameters() if p.requires_grad]
        self.parameters = parameters
        self.optimizer = torch.optim.AdamW(parameters, lr=recipe.lr, betas=(0.9, 0.98), weight_decay=0.01)

    def run(self, examples: Sequence[Example], report: Callable[[int, dict[str, float]], None]) -> None:
        """Train for the recipe's steps on examples drawn by the seed; ``report`` gets step and losses now and then."""
        self.backbone.train()
        for step, picked in enumerate(self._draws(examples)):
            for group in self.optimizer.param_groups:
                group["lr"] = self.recipe.lr * _schedule(step, self.recipe)
            losses = self.losses(picked)
            loss = losses["answer"] + self.recipe.mel_weight * losses["mel"] + self.recipe.ctc_weight * losses["ctc"]
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
            window.sort(key=lambda e: 0 if e.signal is None else len(e.signal))
            for i in rng.permutation(WINDOW)[: self.recipe.steps - start]:
                yield window[i * rows : (i + 1) * rows]

    def losses(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        """The three losses of a batch."""
        audio, z_audio = self._hear([e.signal for e in examples if e.signal is not None])
        ids_BS, mask_BS, audio_BS, response_BS = self._layouts(examples)
        x_BSD = self.backbone.embed(ids_BS, audio_BS, z_audio)
        hidden_BSD = self.backbone.decode(x_BSD, mask_BS)
        logits = self.backbone.lm_head(hidden_BSD[:, :-1][response_BS[:, 1:]])
        answer = F.cross_entropy(logits, ids_BS[:, 1:][response_BS[:, 1:]])
        spoken = [e.transcript for e in examples if e.signal is not None] or [""]
        return {"answer": answer, "mel": self._mel_loss(audio, z_audio), "ctc": self._ctc_loss(audio, z_audio, spoken)}

    def _hear(self, signals: Sequence[np.ndarray]) -> tuple[AudioFeatures, Tensor]:
        """Features and audio embeddings; a batch of text alone hears a moment of silence, which nothing reads."""
        audio = self.backbone.front.features(signals or [np.zeros(1600, np.float32)])
        return audio, self.backbone.encode_audio(audio)

    def _layouts(self, examples: Sequence[Example]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        front, layouts = self.backbone.front, []
        for e in examples:
            mark = "" if e.signal is None else "<audio>\n"
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

    def _mel_loss(self, audio: AudioFeatures, z_audio: Tensor) -> Tensor:
        clips = zip(audio.features_NMF, audio.lengths_N.tolist(), strict=True)
        target = torch.cat([mel[:, : FRAMES_PER_TOKEN * n].T.reshape(n, -1) for mel, n in clips])
        return F.mse_loss(self.mel_head(z_audio), target)

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


def _schedule(step: int, recipe: BaseRecipe) -> float:
    if step < recipe.warmup:
        return (step + 1) / recipe.warmup
    progress = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress))


def save_base(trainer: BaseTrainer, folder: Path) -> None:
    """Write the model in half precision with its processor, as ``from_pretrained`` reads it."""
    model = trainer.backbone.hf.to(torch.float16)
    model.save_pretrained(folder)
    trainer.processor.save_pretrained(folder)


__all__ = ["BaseRecipe", "BaseSize", "BaseTrainer", "Example", "build_base", "save_base", "train_tokenizer"]
