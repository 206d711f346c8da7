"""One base model at work: rows are equipped with their adapter, run their prompt, join the batch, step, leave.

Everything here belongs to the one thread that runs the model, but for ``row``, which any thread may call.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence

from torch import Tensor

from coat_ray.config import BackboneConfig
from coat_ray.inference.adapter_files import trained_with_block
from coat_ray.inference.adapters import AdapterPool
from coat_ray.inference.batch import RunningBatch
from coat_ray.inference.errors import AdapterRefused, ModelFailed, RequestCancelled, RequestRefused
from coat_ray.inference.handle import Handle
from coat_ray.inference.hearing import Hearing
from coat_ray.inference.limits import EngineLimits
from coat_ray.inference.mel_map import MelMap
from coat_ray.inference.prompts import PromptMaker
from coat_ray.inference.requests import Request, Result
from coat_ray.inference.row import Row
from coat_ray.inference.sampling import next_tokens
from coat_ray.model.backbones.base import Backbone
from coat_ray.model.devices import wait_for

logger = logging.getLogger(__name__)


class Runner:
    """The model, its adapters, its cache of heard clips and its running batch."""

    def __init__(self, backbone: Backbone, config: BackboneConfig, limits: EngineLimits) -> None:
        self.backbone = backbone.eval().requires_grad_(False)
        self.limits = limits
        self._base = config.model_dump()
        self.pool = AdapterPool(backbone, limits.adapter_bytes)
        self.hearing = Hearing(backbone, json.dumps(self._base, sort_keys=True), limits.heard_bytes)
        self._prompts = PromptMaker(backbone.front, backbone.hf.config.text_config.max_position_embeddings)
        self._batch: RunningBatch | None = None
        self._mel_map = MelMap.find(config)

    def row(self, request: Request, handle: Handle) -> Row:
        """A request laid out, its clips as log-mel; safe on any thread.

        Raises:
            RequestRefused, AdapterRefused: it cannot be answered.
        """
        source = request.adapter
        if source is not None and source.base is not None and BackboneConfig(**source.base).model_dump() != self._base:
            raise AdapterRefused(f"{source.key} was trained on another base than {self._base}")
        prompt = self._prompts.make(request, block=source is not None and trained_with_block(source.folder))
        if prompt.longest > self.limits.cached_positions:
            raise RequestRefused(
                f"prompt and answer may take {prompt.longest:,} positions, and this engine holds "
                f"{self.limits.cached_positions:,}"
            )
        row = Row(request, prompt, self.backbone.front, handle)
        self.hearing.prepare(row)
        return row

    @property
    def rows(self) -> list[Row]:
        """The rows that run."""
        return self._batch.rows if self._batch else []

    def fits(self, row: Row, group: Sequence[Row]) -> bool:
        """Whether *row* may start with *group*, beside what runs: rows, cached positions, positions of one prefill."""
        together = [*self.rows, *group, row]
        prompts = [len(r.prompt.layout) for r in (*group, row)]
        return (
            len(together) <= self.limits.rows
            and len(together) * max(r.prompt.longest for r in together) <= self.limits.cached_positions
            and (not group or len(prompts) * max(prompts) <= self.limits.prefill_positions)
        )

    def equip(self, row: Row) -> None:
        """Give a row its adapter, loaded if need be; raises as ``AdapterPool.acquire``."""
        if row.request.adapter is not None:
            row.adapter = self.pool.acquire(row.request.adapter)
        row.timings.queue = row.waited()

    def start(self, group: list[Row]) -> None:
        """Run the prompts of equipped rows, take their first tokens, and let them join the batch.

        What fails here ends the requests of *group* and no others.
        """
        try:
            z_audio = self.hearing.hear(group)
            start = time.perf_counter()
            batch, logits_BV = RunningBatch.prefill(self.backbone, self.pool.mixer, group, z_audio)
            wait_for(logits_BV.device)
            for row in group:
                row.timings.prefill = time.perf_counter() - start
            started = self._advance(batch, logits_BV)
        except Exception:
            logger.exception("the model failed on %d prompts", len(group))
            self._fail(group)
            return
        if started and self._batch:
            self._batch.join(started)
        elif started:
            self._batch = started

    def step(self) -> None:
        """Let every running row read its token and take the next; rows that are complete or cancelled leave."""
        if self._batch is None:
            return
        rows = list(self._batch.rows)
        try:
            self._batch = self._advance(self._batch, self._batch.step([row.feed for row in rows]))
        except Exception:
            logger.exception("the model failed on a step of %d rows", len(rows))
            self._batch = None
            self._fail(rows)

    def end(self, reason: Exception) -> None:
        """Let go of every running row and tell its caller why."""
        rows, self._batch = self.rows, None
        for row in rows:
            self._leave(row, reason)

    def _advance(self, batch: RunningBatch, logits_BV: Tensor) -> RunningBatch | None:
        """Take one token per row; gives the batch without the rows that left, None when all did."""
        rows = list(batch.rows)
        for row, token in zip(rows, next_tokens(logits_BV, [row.sampler for row in rows]), strict=True):
            row.take(token)
        kept = [i for i, row in enumerate(rows) if row.finish_reason is None and not row.handle.cancelled]
        if kept:
            batch.keep(kept)
        for row in rows:
            if row.finish_reason is not None:
                self._leave(row, self._result(row))
            elif row.handle.cancelled:
                self._leave(row, RequestCancelled("the request was cancelled"))
        return batch if kept else None

    def _result(self, row: Row) -> Result | Exception:
        if row.h_think is None or row.adapter is None:
            return row.result()
        try:
            heads = self.pool.heads(row.adapter)
            seen = heads.predict(row.h_think, row.prompt.sounding, self._mel_map)
            features = {role: z.float().cpu().numpy() for role, z in seen.items()} if row.request.features else {}
            return row.result(heads.views(seen, row.request.thinking_columns), features)
        except Exception:
            logger.exception("the heads of %s could not read a block", row.adapter.source.key)
            return AdapterRefused(f"the heads of {row.adapter.source.key} cannot read its block")

    def _fail(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self._leave(row, ModelFailed("the model failed while it answered; the log of the engine says why"))

    def _leave(self, row: Row, outcome: Result | Exception) -> None:
        if row.adapter is not None:
            self.pool.release(row.adapter)
            row.adapter = None
        row.handle.emit(outcome)
