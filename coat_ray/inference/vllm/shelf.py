"""Adapters in a vLLM engine: LoRA by ``LoRARequest``, token rows in spare rows of the vocabulary.

Everything here belongs to the event loop of the engine.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import shutil
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import save_file

from coat_ray.inference.adapter_files import WEIGHTS_FILE, AdapterFiles, read_adapter
from coat_ray.inference.errors import AdapterRefused
from coat_ray.inference.lora import LoraLayers
from coat_ray.inference.requests import AdapterSource
from coat_ray.inference.vllm.worker import ROWS
from coat_ray.model.backbones.base import Backbone
from coat_ray.model.block import BlockIds

if TYPE_CHECKING:
    from vllm.lora.request import LoRARequest
    from vllm.v1.engine.async_llm import AsyncLLM

logger = logging.getLogger(__name__)

ROWS_FILE = "rows.safetensors"
_OURS, _VLLM = "model.language_model.", "base_model.model.language_model.model."
"""How the layers of the language model are called in transformers, and in an adapter for vLLM."""


@dataclass
class Shelved:
    """An adapter in memory. ``place``: where its block's tokens stand."""

    source: AdapterSource
    place: BlockIds
    lora: LoRARequest
    users: int = 0


class AdapterShelf:
    """As many adapters as there are *places*; the one used longest ago goes first, those that answer stay.

    Args:
        llm: the engine that holds them.
        outline: the base's shapes.
        places: ids of spare vocabulary rows, three for each adapter.
        rank: the highest that the engine takes.
        folder: where adapters are written for vLLM; its files are ours.
    """

    def __init__(self, llm: AsyncLLM, outline: Backbone, places: list[BlockIds], rank: int, folder: Path) -> None:
        self.loads = self.evictions = 0
        self._llm, self._outline, self._rank, self._folder = llm, outline, rank, folder
        self._layers = LoraLayers(outline)
        self._free = list(reversed(places))
        self._held: OrderedDict[str, Shelved] = OrderedDict()
        self._turn, self._released = asyncio.Lock(), asyncio.Event()
        self._numbers = itertools.count(1)

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the adapters in memory, the one used longest ago first."""
        return tuple(self._held)

    async def acquire(self, source: AdapterSource) -> Shelved:
        """The adapter, loaded if it is not, once there is a place; it stays until it is released as often.

        Raises:
            AdapterRefused: not an adapter of this base, or of a higher rank than the engine takes.
        """
        acquiring = asyncio.ensure_future(self._acquire(source))
        try:
            return await asyncio.shield(acquiring)
        except asyncio.CancelledError:  # what is being loaded is loaded to its end, so that vLLM and we agree
            acquiring.add_done_callback(self._release_acquired)
            raise

    def release(self, adapter: Shelved) -> None:
        """Say that a user of *adapter* is done."""
        adapter.users -= 1
        self._released.set()

    def _release_acquired(self, acquired: asyncio.Future[Shelved]) -> None:
        if not acquired.cancelled() and acquired.exception() is None:
            self.release(acquired.result())

    async def _acquire(self, source: AdapterSource) -> Shelved:
        if held := self._used(source):  # whoever waits for a place has the turn, and must not stop those that need none
            return held
        async with self._turn:
            if held := self._used(source):
                return held
            adapter = await self._load(source)
            adapter.users += 1
            self._held[source.key] = adapter
            return adapter

    def _used(self, source: AdapterSource) -> Shelved | None:
        """The adapter with one more user, if it is in memory."""
        if held := self._held.get(source.key):
            self._held.move_to_end(source.key)
            held.users += 1
        return held

    async def _load(self, source: AdapterSource) -> Shelved:
        from vllm.lora.request import LoRARequest  # noqa: PLC0415 - read where there is no vLLM, too

        number = next(self._numbers)  # never used again: vLLM's caches know an adapter by its number and name
        folder = self._folder / str(number)
        place: BlockIds | None = None
        try:
            files = await asyncio.to_thread(self._prepare, source, folder)
            place = await self._place()
            lora = LoRARequest(f"{source.key}#{number}", number, str(folder))
            if files.rows_3D is not None:
                await self._llm.collective_rpc("write_block_rows", args=(place.as_list(), str(folder / ROWS_FILE)))
            await self._llm.add_lora(lora)
        except BaseException:
            if place is not None:
                self._free.append(place)
            shutil.rmtree(folder, ignore_errors=True)  # refused before it was made, where the files are no adapter
            raise
        self.loads += 1
        logger.info("loaded adapter %s", source.key)
        return Shelved(source, place, lora)

    def _prepare(self, source: AdapterSource, folder: Path) -> AdapterFiles:
        """Read and check an adapter, and write what vLLM reads of it into *folder*."""
        files = read_adapter(source, self._outline)
        try:
            self._layers.check(files.config, files.lora)
        except AdapterRefused as refused:
            raise AdapterRefused(f"{source.key}: {refused}") from refused
        if files.config.r > self._rank:
            raise AdapterRefused(
                f"{source.key}: its rank is {files.config.r}, and this engine was started for {self._rank}"
            )
        folder.mkdir()
        renamed = {_VLLM + name.removeprefix(_OURS): tensor for name, tensor in files.lora.items()}
        save_file(renamed, folder / WEIGHTS_FILE)
        leaves = sorted({name.rsplit(".lora_", 1)[0].rsplit(".", 1)[-1] for name in files.lora})
        card = {"r": files.config.r, "lora_alpha": files.config.lora_alpha, "target_modules": leaves}
        (folder / "adapter_config.json").write_text(json.dumps(card))
        if files.rows_3D is not None:
            save_file({ROWS: files.rows_3D.contiguous()}, folder / ROWS_FILE)
        return files

    async def _place(self) -> BlockIds:
        """A free place; waits until an adapter can go where none is."""
        while not self._free:
            idle = next((adapter for adapter in self._held.values() if not adapter.users), None)
            if idle is None:
                self._released.clear()
                await self._released.wait()
                continue
            await self._evict(idle)
        return self._free.pop()

    async def _evict(self, adapter: Shelved) -> None:
        del self._held[adapter.source.key]
        try:
            await self._llm.remove_lora(adapter.lora.lora_int_id)
        finally:  # nobody asks for its number again, so its place is free whatever vLLM says
            self._free.append(adapter.place)
            shutil.rmtree(adapter.lora.lora_path, ignore_errors=True)
        self.evictions += 1
        logger.info("evicted adapter %s", adapter.source.key)
