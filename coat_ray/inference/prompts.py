"""Requests as token positions, in each of the modes.

Text chain-of-thought is the discrete rival of the block. The paper names it and publishes no prompt; ours is zero-shot
chain-of-thought in two stages, and like the block it is put in by code, so that a model cannot skip it: the question
carries an instruction, the answer is opened with the first words of a reasoning, and when the model ends its turn or
has spent its reasoning tokens a cue asks for the answer. Both stages are decoded one token after the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np

from coat_ray.audio import clip_id
from coat_ray.inference.errors import RequestRefused
from coat_ray.inference.requests import Mode, Request
from coat_ray.model.backbones.base import FrontEnd
from coat_ray.model.block import TokenLayout
from coat_ray.targets.align import block_length

COT_INSTRUCTION = "Think step by step about what you hear before you answer."
COT_OPENING = "Let's think step by step."
COT_CUE = "\nTherefore, the answer is:"
ROLES = ("system", "user", "assistant")


@dataclass(frozen=True)
class Prompt:
    """A prompt laid out. ``heard``: the clips as the tower hears them, and ``digests`` their names.

    ``block`` counts the positions that the block adds. ``sounding``: block positions before the silence that fills a
    single short clip up. ``cue``: tokens that end a reasoning, none in the other modes. ``longest``: positions that
    prompt and answer can take.
    """

    layout: TokenLayout
    heard: tuple[np.ndarray, ...]
    digests: tuple[str, ...]
    block: int
    sounding: int
    cue: tuple[int, ...]
    longest: int


class PromptMaker:
    """Lays out requests for one model; safe on any thread."""

    def __init__(self, front: FrontEnd, context: int) -> None:
        self._front, self._context = front, context
        self._lock = Lock()  # a tokenizer may not be used by two threads at once
        added = front.tokenizer.added_tokens_decoder.values()
        self._control = [token.content for token in added if token.special]

    def make(self, request: Request, *, block: bool) -> Prompt:
        """Lay out a request; *block* says whether its model was trained with one.

        Raises:
            RequestRefused: no question, a role that does not exist, control tokens in a text, marks that are not as
                many as the clips, a clip that cannot be heard, or more positions than the model has.
        """
        self._check(request.messages)
        heard = tuple(self._front.heard(_signal(clip)) for clip in request.clips)
        reasons = request.mode is Mode.TEXT_COT
        messages = _instructed(request.messages) if reasons else request.messages
        with_block = block and request.mode is Mode.BLOCK
        try:
            lengths = [self._front.audio_length(len(clip)) for clip in heard]
            with self._lock:
                layout = self._front.encode_row(messages, lengths, block=with_block, with_response=False)
                opening, cue = (self._encode(text) if reasons else [] for text in (COT_OPENING, COT_CUE))
        except ValueError as error:
            raise RequestRefused(str(error)) from error
        layout.extend(opening)
        sampling = request.sampling
        longest = len(layout) + sampling.max_tokens + (sampling.max_reasoning_tokens + len(cue) if reasons else 0)
        if longest > self._context:
            raise RequestRefused(
                f"the prompt has {len(layout):,} positions and may be answered with {longest - len(layout):,} tokens; "
                f"this model takes {self._context:,} together"
            )
        thoughts = sum(layout.think)
        sounding = min(thoughts, block_length(len(request.clips[0]))) if len(heard) == 1 else thoughts
        digests = tuple(map(clip_id, heard))
        return Prompt(layout, heard, digests, thoughts + 2 if thoughts else 0, sounding, tuple(cue), longest)

    def _encode(self, text: str) -> list[int]:
        return self._front.tokenizer.encode(text, add_special_tokens=False)

    def _check(self, messages: Sequence[Mapping[str, str]]) -> None:
        if not messages or messages[-1].get("role") != "user":
            raise RequestRefused("the last message must be the user's")
        for message in messages:
            role, content = message.get("role"), message.get("content")
            if role not in ROLES or not isinstance(content, str):
                raise RequestRefused(f"a message has a role of {', '.join(ROLES)} and text as its content")
            if forged := next((token for token in self._control if token in content), None):
                raise RequestRefused(f"a message contains {forged}, which only the chat template may place")


def _instructed(messages: Sequence[Mapping[str, str]]) -> list[Mapping[str, str]]:
    last = messages[-1]
    return [*messages[:-1], {**last, "content": f"{last['content']}\n{COT_INSTRUCTION}"}]


def _signal(clip: np.ndarray) -> np.ndarray:
    if clip.ndim != 1 or len(clip) == 0 or not np.isfinite(clip).all():
        raise RequestRefused("a clip must be one channel of finite samples")
    return clip.astype(np.float32, copy=False)
