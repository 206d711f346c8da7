"""One request inside the running batch: what it was, what it said so far, when it ends."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import numpy as np
from torch import Tensor

from coat_ray.inference.adapters import Adapter
from coat_ray.inference.handle import Handle
from coat_ray.inference.prompts import Prompt
from coat_ray.inference.requests import Delta, FinishReason, Request, Result, Timings, Usage
from coat_ray.inference.sampling import Sampler
from coat_ray.inference.text import StopScanner, TokenText
from coat_ray.model.backbones.base import AudioFeatures, FrontEnd


class Row:
    """A request with its state.

    Attributes:
        features: log-mel of the clips by digest, made where the tower's output was not cached at submission.
        h_think: block states (P, D) once the prompt has run, where they were asked for.
        feed: the token that the model reads next.
        finish_reason: set with the last token.
    """

    def __init__(self, request: Request, prompt: Prompt, front: FrontEnd, handle: Handle) -> None:
        self.request, self.prompt, self.handle = request, prompt, handle
        self.sampler = Sampler(request.sampling)
        self.features: dict[str, AudioFeatures] = {}
        self.adapter: Adapter | None = None
        self.h_think: Tensor | None = None
        self.feed = 0
        self.finish_reason: FinishReason | None = None
        self.submitted = time.perf_counter()
        self.timings = Timings(clips=len(prompt.digests))
        self._end = front.end_of_turn_id
        self._cue = deque(prompt.cue)
        self._reasons = bool(prompt.cue)
        self._reasoning = _Said(front.tokenizer, ())
        self._answer = _Said(front.tokenizer, request.sampling.stop)

    @property
    def slot(self) -> str | None:
        """PEFT's name of its adapter."""
        return self.adapter.slot if self.adapter else None

    @property
    def reasons(self) -> bool:
        """Whether what it says next is still reasoning."""
        return self._reasons

    def waited(self) -> float:
        """Seconds since submission."""
        return time.perf_counter() - self.submitted

    def take(self, token: int) -> None:
        """Take the token that the model chose. Where a reasoning ends it reads the cue instead of its own choice."""
        if not self.timings.ttft:
            self.timings.ttft = self.waited()
        self.feed = token
        if self._reasons:
            self._reason(token)
        elif self._cue:
            self.feed = self._cue.popleft()
        else:
            self._say(token)

    def _reason(self, token: int) -> None:
        if not self._ends(token) and len(self._reasoning.tokens) < self.request.sampling.max_reasoning_tokens:
            self._tell(self._reasoning.push(token), reasoning=True)
            return
        self._tell(self._reasoning.finish(), reasoning=True)
        self._reasons = False
        self.timings.reasoning = self.waited() - self.timings.ttft
        self.feed = self._cue.popleft()

    def _say(self, token: int) -> None:
        ended = self._ends(token)
        if not ended:
            self._tell(self._answer.push(token))
        full = len(self._answer.tokens) == self.request.sampling.max_tokens
        if ended or self._answer.stopped or full:
            self._tell(self._answer.finish())
            self.finish_reason = "stop" if ended or self._answer.stopped else "length"

    def _ends(self, token: int) -> bool:
        return token == self._end and not self.request.sampling.ignore_end

    def _tell(self, text: str, *, reasoning: bool = False) -> None:
        if text and self.request.stream:
            self.handle.emit(Delta(text, reasoning))

    def result(
        self, thinking: dict[str, dict[str, Any]] | None = None, features: dict[str, np.ndarray] | None = None
    ) -> Result:
        """The complete answer."""
        usage, timings = self.usage(), self.timings
        timings.tokens, timings.total = usage.completion, self.waited()
        timings.decode = timings.total - timings.ttft - timings.reasoning
        said = (self._answer.text, self._reasoning.text, tuple(self._answer.tokens))
        assert self.finish_reason is not None
        return Result(*said, self.finish_reason, usage, timings, thinking or {}, features or {})

    def usage(self) -> Usage:
        """Tokens so far."""
        layout, prompt = self.prompt.layout, self.prompt
        reasoning = len(self._reasoning.tokens) + len(prompt.cue) - len(self._cue)
        return Usage(len(layout), sum(layout.audio), prompt.block, reasoning + len(self._answer.tokens), reasoning)


class _Said:
    """Tokens of one part of an answer, and the text of them that may be shown."""

    def __init__(self, tokenizer: Any, stops: tuple[str, ...]) -> None:
        self.tokens: list[int] = []
        self.text = ""
        self._pieces, self._scanner = TokenText(tokenizer), StopScanner(stops)

    @property
    def stopped(self) -> bool:
        return self._scanner.stopped

    def push(self, token: int) -> str:
        self.tokens.append(token)
        return self._show(self._scanner.push(self._pieces.push(token)))

    def finish(self) -> str:
        """What was held back, unless a stop string came before it (or ends only now)."""
        shown = self._scanner.push(self._pieces.finish())
        return self._show(shown if self.stopped else shown + self._scanner.finish())

    def _show(self, text: str) -> str:
        self.text += text
        return text
