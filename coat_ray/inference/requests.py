"""What goes into the engine and what comes out of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import numpy as np

from coat_ray.inference.errors import RequestRefused
from coat_ray.registry.model_records import ModelRecord
from coat_ray.storage import DEFAULT_TENANT

MOST_STOPS = 16
FinishReason = Literal["stop", "length"]


class Mode(StrEnum):
    """How a model is made to think before it answers."""

    BLOCK = "block"
    """As trained: with the thinking block, if the adapter was trained with one and there is sound."""
    PLAIN = "plain"
    """Without the block."""
    TEXT_COT = "text_cot"
    """Without the block, and reasoning in text first; see ``prompts``."""


@dataclass(frozen=True)
class Sampling:
    """How an answer is drawn.

    Args:
        max_tokens: bound on the answer, without the reasoning of ``Mode.TEXT_COT``.
        temperature: 0 takes the most probable token each time.
        top_p: draw only among the most probable tokens that together have this probability.
        seed: the same seed draws the same answer; None draws another each time.
        stop: the answer ends before the first of these strings, which are not shown.
        max_reasoning_tokens: bound on the reasoning of ``Mode.TEXT_COT``.
        ignore_end: go on to both bounds even if the model would end its turn; for measuring equal lengths.

    Raises:
        RequestRefused: a value that cannot be.
    """

    max_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    max_reasoning_tokens: int = 256
    ignore_end: bool = False

    def __post_init__(self) -> None:
        checks = (
            (self.max_tokens >= 1, f"max_tokens must be at least 1, not {self.max_tokens}"),
            (
                self.max_reasoning_tokens >= 1,
                f"max_reasoning_tokens must be at least 1, not {self.max_reasoning_tokens}",
            ),
            (0 <= self.temperature <= 10, f"temperature must lie between 0 and 10, not {self.temperature}"),
            (0 < self.top_p <= 1, f"top_p must lie above 0 and at most at 1, not {self.top_p}"),
            (len(self.stop) <= MOST_STOPS, f"at most {MOST_STOPS} stop strings, not {len(self.stop)}"),
            (all(self.stop), "a stop string is empty; leave it out"),
        )
        for right, sentence in checks:
            if not right:
                raise RequestRefused(sentence)


@dataclass(frozen=True)
class AdapterSource:
    """A registered adapter. ``key`` names exactly one version for all tenants; ``folder`` holds its files.

    ``base`` is the backbone's configuration in its record; None: whatever the engine has.
    """

    key: str
    folder: Path
    base: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, record: ModelRecord, folder: Path) -> AdapterSource:
        """A version in the registry, whose adapter lies in *folder*; the same for every tenant that may use it.

        The digest of the place is in the key because two tenants may call two models by one name.
        """
        place = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]
        return cls(f"{record.name}@{record.version}-{place}", folder, record.base)


@dataclass(frozen=True)
class Request:
    """One question.

    Args:
        messages: role/content pairs that end with a user turn; ``<audio>`` marks where a clip goes.
        clips: mono float32 at the front end's rate (16 kHz), in order.
        adapter: None asks the bare base.
        mode: block, no block, or reasoning in text.
        sampling: how the answer is drawn.
        tenant: whose cached clips may be used.
        thinking_columns: also read the block with the experts' heads, in at most so many columns; 0: do not.
        features: also give what the heads predict, for who compares it with the experts themselves.
        stream: tell pieces of the answer as they come; else only the result.
    """

    messages: Sequence[Mapping[str, str]]
    clips: Sequence[np.ndarray] = ()
    adapter: AdapterSource | None = None
    mode: Mode = Mode.BLOCK
    sampling: Sampling = Sampling()
    tenant: str = DEFAULT_TENANT
    thinking_columns: int = 0
    features: bool = False
    stream: bool = True


@dataclass(frozen=True)
class Delta:
    """A piece of text that is final: whole characters, and no part of a stop string."""

    text: str
    reasoning: bool = False


@dataclass(frozen=True)
class Usage:
    """Tokens of one request. ``audio`` and ``block`` are parts of ``prompt``; ``reasoning`` is one of ``completion``.

    ``block`` counts every position that the block adds: one per audio token, and the two that enclose them.
    ``reasoning`` includes the cue that ends it.
    """

    prompt: int
    audio: int
    block: int
    completion: int
    reasoning: int = 0


@dataclass
class Timings:
    """Wall-clock seconds of one request, as its caller felt them: work shared with others counts in full.

    queue: from submission to admission, its adapter loaded. encode: tower on the clips that were not cached, 0 if all
    were. prefill: the prompt up to the first logits. ttft: from submission to the first token of any kind. reasoning:
    text reasoning. decode: from the first token (or the end of the reasoning) to the last. total: from submission to
    the end.
    ``cached_clips`` of ``clips`` were not encoded again. An engine that cannot tell the tower from the prefill leaves
    encode and cached_clips None, and counts the tower's time as prefill.
    """

    queue: float = 0.0
    encode: float | None = 0.0
    prefill: float = 0.0
    ttft: float = 0.0
    reasoning: float = 0.0
    decode: float = 0.0
    total: float = 0.0
    tokens: int = 0
    clips: int = 0
    cached_clips: int | None = 0


@dataclass(frozen=True)
class Result:
    """A complete answer. ``tokens`` are those of the answer, without the end of the turn.

    If they were asked for and there is a block: ``thinking`` maps a role to what ``views.Readers`` shows of it, and
    ``features`` to what its head predicts, float32 (P, E).
    """

    text: str
    reasoning: str
    tokens: tuple[int, ...]
    finish_reason: FinishReason
    usage: Usage
    timings: Timings
    thinking: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    features: Mapping[str, np.ndarray] = field(default_factory=dict)
