"""One question about one's own audio: the answer, its timings, and what the experts' heads read in the block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from coat_ray.audio import load_audio
from coat_ray.model.backbones.base import AUDIO_MARK
from coat_ray.model.generate import Timings
from coat_ray.model.interventions import BlockTreatment
from coat_ray.model.opening import OpenModel
from coat_ray.model.reading import Reading, read_block
from coat_ray.targets.align import block_length

SHORTEST_SAMPLES = 1600
"""A tenth of a second; below it a clip has one audio token or none, which Qwen2-Audio cannot take."""


@dataclass(frozen=True)
class Reply:
    """What came back for one question."""

    model: str
    text: str
    timings: Timings
    block_length: int
    notes: tuple[str, ...] = ()
    thinking: Mapping[str, Reading] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "model": self.model,
            "answer": self.text,
            "timings": {k: round(v, 4) for k, v in asdict(self.timings).items()},
            "block_positions": self.block_length,
            "notes": list(self.notes),
            "thinking": {role: reading.to_json() for role, reading in self.thinking.items()},
        }


def ask(
    model: OpenModel,
    question: str,
    clip: Path | None,
    *,
    block: bool = True,
    thinking: bool = False,
    max_new_tokens: int = 64,
) -> Reply:
    """Ask a model one question about a clip, or about nothing but the text.

    Args:
        model: an open model.
        question: the text of the user's turn.
        clip: an audio file in any format that ``audio.load_audio`` takes, or None.
        block: False answers without the thinking block.
        thinking: also read the block with the experts' heads.
        max_new_tokens: bound on the answer's length.

    Raises:
        AudioError: the file cannot be used, and why.
        ValueError: an empty question, or a clip shorter than a tenth of a second.
    """
    if not question.strip():
        raise ValueError("the question is empty")
    generator = model.generator(BlockTreatment.TRAINED if block else BlockTreatment.REMOVED)
    rate = generator.front.sample_rate
    signals = [] if clip is None else [load_audio(clip, rate)]
    notes = []
    for signal in signals:
        if len(signal) < SHORTEST_SAMPLES:
            raise ValueError(f"{clip} is shorter than {SHORTEST_SAMPLES / rate} s; a question needs something to hear")
        if len(signal) > generator.front.window_samples:
            notes.append(f"only the first {generator.front.window_samples / rate:.0f} s of {clip} were heard")
    message = {"role": "user", "content": (f"{AUDIO_MARK}\n" if signals else "") + question.strip()}
    answers = generator.generate([[message]], [signals], max_new_tokens)
    sounding = sum(block_length(len(signal)) for signal in signals)
    readings = read_block(model.coat, answers.h_think, sounding) if thinking and model.coat is not None else {}
    if thinking and not readings:
        notes.append("there is no block to look into: it needs a model trained with one, a clip, and no --no-block")
    return Reply(model.name, answers.texts[0], answers.timings, len(answers.h_think), tuple(notes), readings)
