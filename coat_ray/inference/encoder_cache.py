"""The tower's output of clips that were heard before, so that the second question about a clip does not encode again.

The tower is frozen and no adapter touches it (``adapters`` refuses one that would), so the adapters of a base share
what it heard. Tenants do not: another tenant's clip is never a hit.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import NamedTuple

from torch import Tensor


class ClipKey(NamedTuple):
    """What the tower's output depends on, and for whom it was made. ``clip`` is the digest of the heard signal."""

    clip: str
    base: str
    tenant: str


class EncoderCache:
    """Tower outputs (L_a, D) by clip, at most *capacity* bytes of them.

    Where room is needed, the tenant that holds most gives up what it used longest ago: one that asks about many clips
    pushes out its own. Callers on any thread may ask ``in``; the other calls are safe too.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._tenants: dict[str, OrderedDict[ClipKey, Tensor]] = {}
        self._held: dict[str, int] = {}
        self._lock = threading.Lock()

    def __contains__(self, key: ClipKey) -> bool:
        with self._lock:
            return key in self._tenants.get(key.tenant, ())

    @property
    def nbytes(self) -> int:
        """Bytes of all outputs held."""
        return sum(self._held.values())

    def get(self, key: ClipKey) -> Tensor | None:
        """The output for a clip, or None."""
        with self._lock:
            shelf = self._tenants.get(key.tenant)
            if shelf is None or key not in shelf:
                return None
            shelf.move_to_end(key)
            return shelf[key]

    def put(self, key: ClipKey, z_audio: Tensor) -> None:
        """Keep an output, unless it alone is larger than the cache."""
        if z_audio.nbytes > self.capacity:
            return
        with self._lock:
            shelf = self._tenants.setdefault(key.tenant, OrderedDict())
            if key in shelf:
                return
            shelf[key] = z_audio
            self._held[key.tenant] = self._held.get(key.tenant, 0) + z_audio.nbytes
            while self.nbytes > self.capacity:
                self._drop(max(self._held, key=self._held.__getitem__))

    def _drop(self, tenant: str) -> None:
        _, oldest = self._tenants[tenant].popitem(last=False)
        self._held[tenant] -= oldest.nbytes
        if not self._tenants[tenant]:
            del self._tenants[tenant], self._held[tenant]
