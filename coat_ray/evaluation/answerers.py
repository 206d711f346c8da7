"""A generator as an answerer: clips decoded, the reference answer taken off, the rest given to the model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from coat_ray.audio import load_audio
from coat_ray.corpus.manifest import Row

if TYPE_CHECKING:
    from coat_ray.model.generate import Generator


class ModelAnswerer:
    """Answers manifest rows with a loaded model.

    Args:
        generator: the model, with or without its block.
        resolve: an audio URI of the manifest -> the file it names (``Manifest.resolve``).
    """

    def __init__(self, generator: Generator, resolve: Callable[[str], Path | str]) -> None:
        self.generator, self.resolve = generator, resolve

    def answer(self, rows: Sequence[Row], max_new_tokens: int) -> list[str]:
        """One greedy answer per row.

        Raises:
            AudioError: a clip that cannot be decoded; the benchmark is broken then, and no score would be honest.
        """
        rate = self.generator.front.sample_rate
        signals = [[load_audio(self.resolve(uri), rate) for uri in row.audios] for row in rows]
        asked = [[{"role": m.role, "content": m.content} for m in row.prompt] for row in rows]
        return self.generator.generate(asked, signals, max_new_tokens).texts

    def identity(self) -> str:
        """Hex digest over every weight and the treatment of the block: answers of any other model are not its own."""
        digest = hashlib.sha256(f"block={self.generator.block} {self.generator.treatment}".encode())
        for name, tensor in sorted(self.generator.backbone.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        return digest.hexdigest()
