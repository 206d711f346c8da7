"""Untrained Qwen2-Audio models of chosen sizes, and rows of sound for them.

The tower is narrower than the decoder by about as much as in the published model. ``OUTPUT_LAYER`` says why there are
two small ones: what is saved at the output layer weighs more, the smaller the decoder beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    Qwen2AudioConfig,
    Qwen2AudioForConditionalGeneration,
    Qwen2AudioProcessor,
    WhisperFeatureExtractor,
)
from transformers.utils import logging

from benchmarks.clips import write_clips
from coat_ray.corpus.manifest import AUDIO_MARK, Manifest, Message, Row, read_manifest, write_manifest
from coat_ray.model.pretraining.layout import CHAT_TEMPLATE, train_tokenizer

WORDS = (
    "what",
    "sound",
    "is",
    "heard",
    "a",
    "dog",
    "barks",
    "which",
    "note",
    "comes",
    "first",
    "then",
    "rain",
    "falls",
)


@dataclass(frozen=True)
class Size:
    """Width, layers, heads and feed-forward width of decoder and tower, and rows of the vocabulary."""

    hidden: int
    layers: int
    heads: int
    ffn: int
    tower_hidden: int
    tower_layers: int
    tower_heads: int
    tower_ffn: int
    vocabulary: int


PUBLISHED_VOCABULARY = 156_032
OUTPUT_LAYER = 1_312
"""Rows of the vocabulary with which the small decoder's output layer is as large beside it as the published one (a
tenth). With all 156,032 rows it is twelve times as large as the decoder's layers."""

SMALL = Size(256, 4, 4, 768, 128, 2, 2, 512, OUTPUT_LAYER)
SIZES = {
    "tiny": Size(64, 1, 2, 96, 32, 1, 1, 64, 512),
    "small": SMALL,
    "small-156032": replace(SMALL, vocabulary=PUBLISHED_VOCABULARY),
    "7b": Size(4096, 32, 32, 11008, 1280, 32, 20, 5120, PUBLISHED_VOCABULARY),
}
"""``7b`` has the sizes of Qwen/Qwen2-Audio-7B-Instruct (config.json)."""


def make_student(size: Size) -> tuple[Any, Qwen2AudioProcessor]:
    """A random model on torch's default device and in its default dtype, and its processor."""
    tokenizer = train_tokenizer([" ".join(WORDS)], 384)
    audio = {
        "num_mel_bins": 128,
        "encoder_layers": size.tower_layers,
        "encoder_attention_heads": size.tower_heads,
        "encoder_ffn_dim": size.tower_ffn,
        "d_model": size.tower_hidden,
    }
    text = {
        "model_type": "qwen2",
        "vocab_size": size.vocabulary,
        "hidden_size": size.hidden,
        "intermediate_size": size.ffn,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.heads,
        "max_position_embeddings": 8192,
        "rms_norm_eps": 1e-5,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "tie_word_embeddings": False,
    }
    ids = tokenizer.vocab
    config = Qwen2AudioConfig(audio_config=audio, text_config=text, audio_token_index=ids["<|AUDIO|>"])
    torch.manual_seed(0)
    model = Qwen2AudioForConditionalGeneration(config)
    extractor = WhisperFeatureExtractor(128, return_attention_mask=True)
    return model, Qwen2AudioProcessor(extractor, tokenizer, chat_template=CHAT_TEMPLATE)


@cache
def saved_student(folder: Path, name: str) -> Path:
    """A random model of a named size, written where every side of a comparison reads it."""
    target = folder / name
    logging.disable_progress_bar()
    for part in make_student(SIZES[name]):
        part.save_pretrained(target)
    return target


def make_rows(folder: Path, seconds: Sequence[float], answer_words: tuple[int, int] = (24, 24)) -> Manifest:
    """One question about each clip of these lengths; answers are so many words, from … to."""
    rng = np.random.default_rng(0)
    clips = write_clips(folder / "clips", seconds)
    rows = []
    for number, clip in enumerate(clips):
        words = islice(cycle(WORDS), int(rng.integers(answer_words[0], answer_words[1] + 1)))
        turns = (
            Message(role="user", content=f"{AUDIO_MARK}\n{' '.join(WORDS[:12])}"),
            Message(role="assistant", content=" ".join(words)),
        )
        rows.append(Row(id=str(number), messages=turns, audios=(clip.uri,), seconds=clip.seconds))
    write_manifest(rows, folder / "train.jsonl")
    return read_manifest(folder / "train.jsonl")
