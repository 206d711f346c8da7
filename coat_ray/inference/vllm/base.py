"""The model behind a vLLM engine: a base for adapters, or a merged checkpoint that answers alone."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from coat_ray.config import BackboneConfig
from coat_ray.inference.adapter_files import trained_with_block
from coat_ray.inference.errors import AdapterRefused, RequestRefused
from coat_ray.inference.handle import Handle
from coat_ray.inference.prompts import PromptMaker
from coat_ray.inference.requests import Request
from coat_ray.inference.row import Row
from coat_ray.inference.vllm.limits import VllmLimits
from coat_ray.inference.vllm.rows import spare_rows
from coat_ray.model.backbones import EXPORT_FACTS, outline_backbone, weights_of
from coat_ray.model.backbones.base import Backbone
from coat_ray.model.block import BlockIds

if TYPE_CHECKING:
    from vllm.v1.engine.async_llm import AsyncLLM

FAMILIES = ("qwen2_audio",)
"""What was made to take adapters in vLLM, and compared with the other engine."""


@dataclass(frozen=True)
class Base:
    """What the engine knows of its model outside vLLM's process.

    ``outline``: front end and shapes. ``merged``: LoRA and block are in the weights already, and there are no
    adapters; ``block``: whether such a model was trained with one. ``places``: where adapters' blocks may stand.
    """

    config: BackboneConfig
    limits: VllmLimits
    outline: Backbone
    prompts: PromptMaker
    merged: bool
    block: bool
    places: list[BlockIds]

    @classmethod
    def of(cls, config: BackboneConfig, limits: VllmLimits) -> Base:
        """The model that *config* names.

        Raises:
            ValueError: a family that this engine does not run, or a vocabulary without spare rows.
        """
        if config.family not in FAMILIES:
            raise ValueError(
                f"backbone.family {config.family!r}: the vLLM engine runs {', '.join(FAMILIES)}; use --engine "
                f"transformers"
            )
        outline = outline_backbone(config)
        context = outline.hf.config.text_config.max_position_embeddings
        facts_file = Path(weights_of(config)) / EXPORT_FACTS
        facts = json.loads(facts_file.read_text()) if facts_file.exists() else None
        rows = len(outline.hf.get_input_embeddings().weight)
        wanted = 0 if facts else limits.adapters
        places = spare_rows(len(outline.front.tokenizer), rows, wanted)
        if len(places) < wanted:
            raise ValueError(
                f"the vocabulary has spare rows for the blocks of {len(places)} adapters, not of {wanted}; start the "
                f"engine for fewer"
            )
        block = bool(facts and facts["block"])
        return cls(config, limits, outline, PromptMaker(outline.front, context), facts is not None, block, places)

    def row(self, request: Request, handle: Handle) -> Row:
        """A request laid out; safe on any thread.

        Raises:
            RequestRefused, AdapterRefused: it cannot be answered.
        """
        source, limits, seed = request.adapter, self.limits, request.sampling.seed
        if request.thinking_columns:
            raise RequestRefused(
                "this server answers with vLLM, which does not hand out the states of the block: leave thinking out, "
                "or ask a server with the transformers engine"
            )
        if len(request.clips) > limits.clips:
            raise RequestRefused(f"a request has at most {limits.clips} clips here, not {len(request.clips)}")
        if seed is not None and not -(2**63) <= seed < 2**63:
            raise RequestRefused(f"the seed {seed} does not fit into 64 bits")
        if source is not None:
            self._check(source.key, source.base)
        block = trained_with_block(source.folder) if source else self.block
        prompt = self.prompts.make(request, block=block)
        return Row(request, prompt, self.outline.front, handle)

    async def open(self) -> AsyncLLM:
        """Start vLLM, in a process of its own; call it on the event loop that uses it."""
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")  # vLLM would send them to its makers
        from vllm.engine.arg_utils import AsyncEngineArgs  # noqa: PLC0415 - this module is read without vLLM, too
        from vllm.platforms import current_platform  # noqa: PLC0415
        from vllm.v1.engine.async_llm import AsyncLLM  # noqa: PLC0415

        limits, slots = self.limits, len(self.places)
        if slots and current_platform.is_cpu():
            slots += 1  # never taken: beside rows with an adapter, rows without one get the last slot's there
        arguments = AsyncEngineArgs(
            model=str(weights_of(self.config)),
            dtype=self.config.dtype,
            max_model_len=self.outline.hf.config.text_config.max_position_embeddings,
            max_num_seqs=limits.rows,
            kv_cache_memory_bytes=limits.cache_bytes,
            enable_prefix_caching=limits.prefix_cache,
            limit_mm_per_prompt={"audio": limits.clips},
            enable_lora=slots > 0,
            max_loras=max(slots, 1),
            max_cpu_loras=max(slots, 1),
            max_lora_rank=limits.lora_rank,
            worker_extension_cls="coat_ray.inference.vllm.worker.BlockRows",
            enforce_eager=current_platform.is_cpu(),  # what is compiled pays on a GPU
        )
        llm = AsyncLLM.from_engine_args(arguments)
        if not self.merged:
            try:
                await llm.collective_rpc("settle_block", args=(self.outline.front.block_ids.as_list(),))
            except BaseException:
                llm.shutdown()  # its processes would outlive the engine that did not come to be
                raise
        return llm

    def _check(self, key: str, base: object) -> None:
        if self.merged:
            raise AdapterRefused(f"{key}: this engine answers with one merged model, which takes no adapters")
        if not self.places:
            raise AdapterRefused(f"{key}: this engine was started for the bare base, without adapters")
        if isinstance(base, dict) and BackboneConfig(**base) != self.config:
            raise AdapterRefused(f"{key} was trained on another base than {self.config.model_dump()}")
