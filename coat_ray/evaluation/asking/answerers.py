"""A generator as an answerer: clips decoded, the reference answer taken off, the rest given to the model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from coat_ray.audio import clip_id, load_audio
from coat_ray.corpus.manifest import Row
from coat_ray.evaluation.asking.answers import AudioNotHeardError, Said

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

    def answer(self, rows: Sequence[Row], max_new_tokens: int) -> list[Said]:
        """One greedy answer per row, with the clips that were fed and the positions that they filled.

        Raises:
            AudioError: a clip that cannot be decoded; the benchmark is broken then, and no score would be honest.
            AudioNotHeardError: a clip filled fewer positions than it has.
        """
        front = self.generator.front
        signals = [[load_audio(self.resolve(uri), front.sample_rate) for uri in row.audios] for row in rows]
        asked = [[{"role": m.role, "content": m.content} for m in row.prompt] for row in rows]
        answers = self.generator.generate(asked, signals, max_new_tokens)
        said = []
        for row, clips, text, tokens in zip(rows, signals, answers.texts, answers.audio_tokens, strict=True):
            expected = sum(front.audio_length(len(clip)) for clip in clips)
            if tokens != expected:
                raise AudioNotHeardError(f"row {row.id}: {tokens} of its {expected} audio positions were filled")
            said.append(Said(text, tuple(clip_id(clip) for clip in clips), tokens))
        return said

    def identity(self) -> str:
        """Hex digest over every weight and the treatment of the block: answers of any other model are not its own."""
        digest = hashlib.sha256(f"block={self.generator.block} {self.generator.treatment}".encode())
        for name, tensor in sorted(self.generator.backbone.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        return digest.hexdigest()
