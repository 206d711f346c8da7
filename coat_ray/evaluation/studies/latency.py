"""What thinking costs in time: one engine answers the same clips without a block, with it, and after reasoning in text.

One request at a time (batch 1), nothing remembered between requests: the engine keeps no tower output, it has no prefix
cache, and the adapter is in memory before the first request. The arms take turns on every clip, in an order that moves
on from clip to clip, so that other work on the machine disturbs all of them alike.

Shapes: L audio tokens, T other tokens of a prompt, S positions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from torch import nn

from coat_ray.audio import load_audio
from coat_ray.corpus.manifest import AUDIO_MARK, Manifest
from coat_ray.evaluation.asking.answers import EvaluationError, Progress
from coat_ray.inference.engine import Engine
from coat_ray.inference.requests import AdapterSource, Mode, Request, Result, Sampling
from coat_ray.model.backbones.base import Backbone

VANILLA, COAT, TEXT_COT, BLOCK_OFF = "vanilla", "CoAT", "text-CoT", "CoAT, block off"
QUESTION = f"{AUDIO_MARK}\ndescribe what you hear"
NATURAL_TOKENS = 64
"""Bound on an answer that the model ends itself."""


@dataclass(frozen=True)
class Arm:
    """One way of answering."""

    name: str
    adapter: AdapterSource | None
    mode: Mode


@dataclass(frozen=True)
class LatencyPlan:
    """What is measured.

    Args:
        ranges: clip durations in seconds, (above, up to); durations are drawn evenly from each range.
        points: durations at which the block is held against its bound.
        seeds: how often everything is drawn anew.
        clips: clips of each range, and of each point, under one seed.
        answer_tokens: decode exactly so many tokens of every answer; None: until the model ends its turn.
        reasoning_tokens: bound on the reasoning of text-CoT, which it also reaches where ``answer_tokens`` is set.
    """

    ranges: tuple[tuple[float, float], ...] = ((0, 10), (10, 20), (20, 30), (30, 60), (60, 90), (90, 120))
    points: tuple[float, ...] = (1, 5, 10, 30)
    seeds: int = 3
    clips: int = 3
    answer_tokens: int | None = None
    reasoning_tokens: int = 128

    @property
    def sampling(self) -> Sampling:
        """Greedy, as long as the plan says."""
        fixed = self.answer_tokens is not None
        return Sampling(
            max_tokens=self.answer_tokens or NATURAL_TOKENS,
            max_reasoning_tokens=self.reasoning_tokens,
            ignore_end=fixed,
        )


@dataclass(frozen=True)
class Trial:
    """One clip to be asked about: ``label`` names its range or point, ``seconds`` is its duration before any cut."""

    label: str
    seconds: float
    seed: int


@dataclass(frozen=True)
class Measurement:
    """One answer. Times in seconds as ``inference.requests.Timings`` has them; ``decode`` includes the reasoning.

    ``heard``: seconds of the clip that the base takes in. ``tokens``: everything decoded, ``reasoning`` a part of it.
    """

    arm: str
    label: str
    seed: int
    seconds: float
    heard: float
    audio: int
    block: int
    prompt: int
    encode: float
    prefill: float
    ttft: float
    decode: float
    total: float
    tokens: int
    reasoning: int


def range_label(bounds: tuple[float, float]) -> str:
    """Such as ``10-20 s``."""
    return f"{bounds[0]:g}-{bounds[1]:g} s"


def point_label(seconds: float) -> str:
    """Such as ``10 s``."""
    return f"{seconds:g} s"


def arms_of(adapter: AdapterSource) -> tuple[Arm, ...]:
    """The three of the paper, and the adapter without its block: what the block alone costs is CoAT over that."""
    return (
        Arm(VANILLA, None, Mode.PLAIN),
        Arm(COAT, adapter, Mode.BLOCK),
        Arm(TEXT_COT, None, Mode.TEXT_COT),
        Arm(BLOCK_OFF, adapter, Mode.PLAIN),
    )


def plan_trials(plan: LatencyPlan) -> list[Trial]:
    """Every clip of a plan, seed by seed; a pure function of the plan."""
    trials = []
    for seed in range(plan.seeds):
        rng = np.random.default_rng([seed, 0])
        for low, high in plan.ranges:
            drawn = high - rng.random(plan.clips) * (high - max(low, 0.5))  # half a second holds something to hear
            trials += [Trial(range_label((low, high)), float(seconds), seed) for seconds in drawn]
        trials += [Trial(point_label(seconds), seconds, seed) for seconds in plan.points for _ in range(plan.clips)]
    return trials


class ClipMaker:
    """Clips of any length out of a manifest's: drawn ones, one after the other, cut at the wanted length."""

    def __init__(self, manifest: Manifest, rate: int) -> None:
        self._uris = sorted({uri for row in manifest.rows for uri in row.audios})
        if not self._uris:
            raise EvaluationError("the split has no clips to make longer ones of")
        self._load: Callable[[str], np.ndarray] = lambda uri: load_audio(manifest.resolve(uri), rate)
        self._rate = rate

    def make(self, seconds: float, rng: np.random.Generator) -> np.ndarray:
        """A mono float32 signal of that many seconds."""
        wanted, parts = round(seconds * self._rate), [np.zeros(0, np.float32)]
        while sum(map(len, parts)) < wanted:
            parts.append(self._load(self._uris[int(rng.integers(len(self._uris)))]))
        return np.concatenate(parts)[:wanted]


def measure(
    engine: Engine, arms: Sequence[Arm], clips: ClipMaker, plan: LatencyPlan, progress: Progress | None = None
) -> list[Measurement]:
    """Ask every arm about every clip of the plan, one request at a time.

    Args:
        engine: the base, with ``heard_bytes=0`` in its limits; nobody else may ask it meanwhile.
        arms: ways of answering; their adapters are pinned.
        clips: makes the clips.
        plan: what is measured.
        progress: told (clips done, clips in all).

    Raises:
        EvaluationError: the engine remembered a clip, so that its times mean nothing.
        RequestRefused, AdapterRefused: the base cannot take such prompts, or is not the adapter's.
    """
    for arm in arms:
        if arm.adapter is not None:
            engine.pin(arm.adapter)
    trials, found = plan_trials(plan), []
    longest = max(trials, key=lambda trial: trial.seconds)
    for arm in arms:  # the first request of each kind pays for memory and threads
        _ask(engine, arm, longest, clips.make(longest.seconds, np.random.default_rng(0)), plan.sampling)
    for number, trial in enumerate(trials):
        signal = clips.make(trial.seconds, np.random.default_rng([trial.seed, 1, number]))
        turn = number % len(arms)
        found += [_ask(engine, arm, trial, signal, plan.sampling) for arm in (*arms[turn:], *arms[:turn])]
        if progress:
            progress(number + 1, len(trials))
    return found


def _ask(engine: Engine, arm: Arm, trial: Trial, signal: np.ndarray, sampling: Sampling) -> Measurement:
    messages = [{"role": "user", "content": QUESTION}]
    result: Result = engine.submit(Request(messages, [signal], arm.adapter, arm.mode, sampling)).result()
    usage, timings = result.usage, result.timings
    if timings.cached_clips or timings.encode is None:
        raise EvaluationError("the engine remembered a clip; open it with EngineLimits(heard_bytes=0)")
    return Measurement(
        arm=arm.name,
        label=trial.label,
        seed=trial.seed,
        seconds=trial.seconds,
        heard=min(len(signal), engine.front.window_samples) / engine.front.sample_rate,
        audio=usage.audio,
        block=usage.block,
        prompt=usage.prompt,
        encode=timings.encode,
        prefill=timings.prefill,
        ttft=timings.ttft,
        decode=timings.reasoning + timings.decode,
        total=timings.total,
        tokens=usage.completion,
        reasoning=usage.reasoning,
    )


@dataclass(frozen=True)
class PrefillCost:
    """Floating-point operations of the decoder over a prompt of S positions: ``2 W S + 4 A S²``.

    ``weights`` W: entries of all linear layers of the decoder's blocks, each a multiplication and an addition per
    position. ``attention`` A: query width summed over the layers; scores and their use each take 2 A S², the masked
    half included, because it is computed too. Norms, rotations and the output layer (one position) are left out.
    """

    weights: int
    attention: int

    @classmethod
    def of(cls, backbone: Backbone) -> PrefillCost:
        """Of a base without adapters."""
        layers = backbone.language_model.layers
        weights = sum(m.weight.numel() for m in layers.modules() if isinstance(m, nn.Linear))
        queries = [m.weight.shape[0] for name, m in layers.named_modules() if name.endswith("q_proj")]
        return cls(weights, sum(queries))

    def flops(self, positions: int) -> int:
        """Operations over a prompt of so many positions."""
        return 2 * self.weights * positions + 4 * self.attention * positions**2

    def ratio(self, audio: int, text: int) -> float:
        """With the block over without it: (2L + 2 + T) positions over (L + T)."""
        return self.flops(2 * audio + 2 + text) / self.flops(audio + text)


def to_json(plan: LatencyPlan, measurements: Sequence[Measurement], cost: PrefillCost) -> dict[str, Any]:
    """Plan and raw measurements as plain data."""
    return {
        "plan": asdict(plan),
        "prefill": asdict(cost),
        "measurements": [asdict(measurement) for measurement in measurements],
    }
