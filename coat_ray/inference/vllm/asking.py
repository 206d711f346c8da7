"""One request as vLLM takes it, and vLLM's tokens as our rows take them."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from coat_ray.inference.errors import RequestCancelled
from coat_ray.inference.requests import Sampling
from coat_ray.inference.row import Row
from coat_ray.inference.vllm.rows import moved
from coat_ray.inference.vllm.shelf import Shelved
from coat_ray.model.backbones.base import FrontEnd

if TYPE_CHECKING:
    from vllm import SamplingParams, TokensPrompt
    from vllm.outputs import RequestOutput
    from vllm.v1.engine.async_llm import AsyncLLM


class Asker:
    """Asks vLLM for the answers of rows; belongs to the event loop of the engine."""

    def __init__(self, llm: AsyncLLM, front: FrontEnd) -> None:
        self._llm, self._front = llm, front
        self._numbers = itertools.count()

    async def answer(self, row: Row, adapter: Shelved | None) -> None:
        """Let a row take tokens until it is complete; one that reasons in text first is asked twice.

        Raises:
            RequestCancelled: nobody waits for the answer any more.
            RuntimeError: vLLM laid the prompt out in another way than we did, or ended the answer early.
        """
        sampling, said = row.request.sampling, list[int]()
        row.timings.encode = row.timings.cached_clips = None
        if row.reasons:
            async for token in self._tokens(row, adapter, (), sampling.max_reasoning_tokens):
                said.append(token)
                row.take(token)
            if row.reasons:  # not ended by itself
                row.take(self._front.end_of_turn_id)
            else:
                said.pop()
            said += row.prompt.cue
            for token in row.prompt.cue[1:]:
                row.take(token)
        async with aclosing(self._tokens(row, adapter, said, sampling.max_tokens)) as tokens:
            async for token in tokens:
                row.take(token)
                if row.finish_reason is not None:
                    return
        raise RuntimeError("vLLM ended an answer before its end")

    async def _tokens(
        self, row: Row, adapter: Shelved | None, said: Sequence[int], most: int
    ) -> AsyncGenerator[int, None]:
        prompt, expected = self._prompt(row, adapter, said)
        params, name = self._params(row.request.sampling, most), f"coat-{next(self._numbers)}"
        lora = adapter.lora if adapter else None
        output: RequestOutput | None = None
        async with aclosing(self._llm.generate(prompt, params, name, lora_request=lora)) as outputs:
            async for output in outputs:
                if output.prompt_token_ids is not None and output.prompt_token_ids != expected:
                    raise RuntimeError(
                        "vLLM laid a prompt out in another way than this engine; are the versions right?"
                    )
                if not said and not row.timings.ttft and output.metrics is not None:
                    row.timings.queue += output.metrics.scheduled_ts - output.metrics.queued_ts
                    row.timings.prefill = output.metrics.first_token_ts - output.metrics.scheduled_ts
                for token in output.outputs[0].token_ids:
                    if row.handle.cancelled:  # its listener failed
                        raise RequestCancelled("the request was cancelled")
                    yield token

    def _prompt(self, row: Row, adapter: Shelved | None, said: Sequence[int]) -> tuple[TokensPrompt, list[int]]:
        """What vLLM is given, each clip marked once, and what it must make of it."""
        layout, tenant = row.prompt.layout, row.request.tenant
        own = self._front.block_ids
        expected = [*moved(layout.input_ids, own, adapter.place if adapter else own), *said]
        marked = marked_once(expected, layout.audio, [self._front.audio_length(len(clip)) for clip in row.prompt.heard])
        prompt: TokensPrompt = {"prompt_token_ids": marked, "cache_salt": tenant}
        if row.prompt.heard:
            prompt["multi_modal_data"] = {"audio": [(clip, self._front.sample_rate) for clip in row.prompt.heard]}
            prompt["multi_modal_uuids"] = {"audio": [f"{tenant}/{digest}" for digest in row.prompt.digests]}
        return prompt, expected

    def _params(self, sampling: Sampling, most: int) -> SamplingParams:
        """Our rows make text of tokens, so that both engines show the same; only the end of the turn ends an answer."""
        from vllm import SamplingParams  # noqa: PLC0415 - read where there is no vLLM, too
        from vllm.sampling_params import RequestOutputKind  # noqa: PLC0415

        ends = [] if sampling.ignore_end else [self._front.end_of_turn_id]
        options: dict[str, Any] = {"stop_token_ids": ends, "ignore_eos": True}
        return SamplingParams(
            max_tokens=most,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            seed=sampling.seed,
            detokenize=False,
            output_kind=RequestOutputKind.DELTA,
            **options,
        )


def marked_once(ids: Sequence[int], audio: Sequence[bool], lengths: Sequence[int]) -> list[int]:
    """Token ids with one placeholder for each clip, where a layout has as many as the clip has audio tokens.

    Args:
        ids: a layout's ids, and what may follow it.
        audio: which of the layout's positions are sound.
        lengths: L_a of each clip, in order.
    """
    found, left = [], iter(lengths)
    at = 0
    while at < len(ids):
        found.append(ids[at])
        at += next(left) if at < len(audio) and audio[at] else 1
    return found
