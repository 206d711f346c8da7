"""Clips on their way to the tower: log-mel where the caller waits, the tower where the model runs, each clip once.

Every clip goes through the tower alone, so that what is cached depends on the clip and on nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from coat_ray.inference.encoder_cache import ClipKey, EncoderCache
from coat_ray.inference.row import Row
from coat_ray.model.backbones.base import AudioFeatures, Backbone
from coat_ray.model.devices import wait_for
from coat_ray.model.generate import encode_clips


class Hearing:
    """The tower of one base and what it remembers. ``encoded`` and ``hits`` count clips since the start."""

    def __init__(self, backbone: Backbone, base: str, capacity: int) -> None:
        self.cache = EncoderCache(capacity)
        self.encoded = self.hits = 0
        self._backbone, self._base = backbone, base

    def prepare(self, row: Row) -> None:
        """Make the log-mel of the clips that will have to be encoded; safe on any thread."""
        for digest, heard in zip(row.prompt.digests, row.prompt.heard, strict=True):
            if digest not in row.features and self._key(digest, row) not in self.cache:
                row.features[digest] = self._backbone.front.features([heard])

    def hear(self, rows: Sequence[Row]) -> Tensor:
        """The tower's output for every clip of *rows*, in order (sum L_a, D)."""
        heard = [z for row in rows for z in self._hear_row(row)]
        return torch.cat(heard) if heard else encode_clips(self._backbone, None)

    def _hear_row(self, row: Row) -> list[Tensor]:
        start, found, cached = time.perf_counter(), [], 0
        for i, digest in enumerate(row.prompt.digests):
            key = self._key(digest, row)
            z_audio = self.cache.get(key)
            if z_audio is None:
                z_audio = encode_clips(self._backbone, self._features(row, i))
                self.cache.put(key, z_audio)
                self.encoded += 1
                wait_for(z_audio.device)
                row.timings.encode = time.perf_counter() - start
            else:
                self.hits += 1
                cached += 1
            found.append(z_audio)
        row.features.clear()
        row.timings.cached_clips = cached
        return found

    def _features(self, row: Row, i: int) -> AudioFeatures:
        """Those made at submission; anew where the tower's output was cached then and is not any more."""
        return row.features.get(row.prompt.digests[i]) or self._backbone.front.features([row.prompt.heard[i]])

    def _key(self, digest: str, row: Row) -> ClipKey:
        return ClipKey(digest, self._base, row.request.tenant)
