"""The adapters in memory: loaded when asked for, the one used longest ago goes first, pinned ones stay.

An adapter is its LoRA and the three rows of its block's tokens. The rows are kept apart from the embedding matrix and
laid over a prompt's input vectors: PEFT's own layer for trained rows copies the whole matrix in every forward pass, and
once for each adapter of a mixed batch.

Shapes: D hidden size.
"""

from __future__ import annotations

import itertools
import logging
from collections import OrderedDict
from dataclasses import dataclass, field

import torch
from torch import Tensor

from coat_ray.inference.adapter_files import read_adapter, weight_bytes
from coat_ray.inference.errors import AdapterRefused, AdapterTooLarge
from coat_ray.inference.heads import BlockHeads
from coat_ray.inference.lora import LoraMixer
from coat_ray.inference.requests import AdapterSource
from coat_ray.model.backbones.base import Backbone

logger = logging.getLogger(__name__)


class NoRoom(Exception):
    """Every adapter that could go is answering; there will be room when one of them is done."""


@dataclass
class Adapter:
    """An adapter in memory. ``rows_3D``: its block's token rows; None if it was trained without a block."""

    source: AdapterSource
    slot: str
    rows_3D: Tensor | None
    nbytes: int
    users: int = 0
    pins: int = 0
    heads: BlockHeads | None = field(default=None, repr=False)


class AdapterPool:
    """Adapters on one base, at most *capacity* bytes of them; belongs to the thread that runs the model.

    ``loads`` and ``evictions`` count since the start.
    """

    def __init__(self, backbone: Backbone, capacity: int) -> None:
        self.capacity = capacity
        self.loads = self.evictions = 0
        self.mixer = LoraMixer(backbone)
        self._backbone = backbone
        self._adapters: OrderedDict[str, Adapter] = OrderedDict()
        self._slots = (f"slot{i}" for i in itertools.count())

    @property
    def nbytes(self) -> int:
        """Bytes of all adapters, with the heads that were loaded."""
        return sum(adapter.nbytes for adapter in self._adapters.values())

    @property
    def keys(self) -> list[str]:
        """Keys of the adapters in memory, the one used longest ago first."""
        return list(self._adapters)

    def acquire(self, source: AdapterSource) -> Adapter:
        """The adapter, loaded if it is not; it stays until it is released as often as it was acquired.

        Raises:
            AdapterRefused: not an adapter of this base.
            AdapterTooLarge: it does not fit beside the pinned ones.
            NoRoom: it does not fit beside those in use now.
        """
        adapter = self._adapters.get(source.key)
        if adapter is None:
            adapter = self._load(source)
            self._adapters[source.key] = adapter
        self._adapters.move_to_end(source.key)
        adapter.users += 1
        return adapter

    def release(self, adapter: Adapter) -> None:
        """Say that a user of *adapter* is done."""
        adapter.users -= 1

    def pin(self, source: AdapterSource) -> None:
        """Load an adapter and keep it until it is unpinned as often.

        Raises:
            AdapterRefused: not an adapter of this base.
            AdapterTooLarge: it does not fit beside those that are pinned or answer now.
        """
        try:
            adapter = self.acquire(source)
        except NoRoom as error:
            raise AdapterTooLarge(f"{source.key} does not fit beside the adapters that answer now") from error
        adapter.users -= 1
        adapter.pins += 1

    def unpin(self, key: str) -> None:
        """Take one pin off; of no effect for an adapter that has none."""
        if key in self._adapters:
            self._adapters[key].pins = max(0, self._adapters[key].pins - 1)

    def heads(self, adapter: Adapter) -> BlockHeads:
        """The heads of an adapter in use, loaded at the first call."""
        if adapter.heads is None:
            adapter.heads = BlockHeads(adapter.source.folder, self._backbone.hidden_size).to(self._device)
            adapter.nbytes += adapter.heads.nbytes
            self._trim()
        return adapter.heads

    @property
    def _device(self) -> torch.device:
        return self._backbone.lm_head.weight.device

    def _load(self, source: AdapterSource) -> Adapter:
        """Put an adapter on the base once there is room; its weights are read after that."""
        try:
            self._make_room(weight_bytes(source.folder))
        except OSError as error:
            raise AdapterRefused(f"{source.key}: its files are missing or damaged") from error
        files = read_adapter(source, self._backbone)
        slot, rows = next(self._slots), files.rows_3D
        try:
            nbytes = self.mixer.add(slot, files.config, files.lora)
        except AdapterRefused as refused:
            raise AdapterRefused(f"{source.key}: {refused}") from refused
        if rows is not None:
            rows = rows.to(self._device)
            nbytes += rows.nbytes
        self.loads += 1
        logger.info("loaded adapter %s, %.1f MB", source.key, nbytes / 1e6)
        return Adapter(source, slot, rows, nbytes)

    def _make_room(self, nbytes: int) -> None:
        """Evict until *nbytes* fit."""
        pinned = sum(adapter.nbytes for adapter in self._adapters.values() if adapter.pins)
        if pinned + nbytes > self.capacity:
            raise AdapterTooLarge(
                f"an adapter of {nbytes:,} bytes does not fit into {self.capacity:,} beside {pinned:,} of pinned ones"
            )
        busy = sum(a.nbytes for a in self._adapters.values() if a.users and not a.pins)
        if pinned + busy + nbytes > self.capacity:
            raise NoRoom
        self._trim(nbytes)

    def _trim(self, coming: int = 0) -> None:
        """Evict what is idle, the one used longest ago first, until the rest and *coming* bytes fit."""
        for key, adapter in list(self._adapters.items()):
            if self.nbytes + coming <= self.capacity:
                return
            if not adapter.users and not adapter.pins:
                self.mixer.remove(adapter.slot)
                del self._adapters[key]
                self.evictions += 1
                logger.info("evicted adapter %s", key)
