"""From row ids to a Batch: decode the clips, lay out the tokens, fetch the targets.

Shapes: B rows, S positions, N clips, L_a audio tokens of a clip, E expert width.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from coat_ray.audio import DEFAULT_LIMITS, AudioError, AudioLimits, clip_id, load_audio
from coat_ray.config import RECON, AugmentConfig
from coat_ray.corpus.manifest import AUDIO_MARK, Manifest, Row
from coat_ray.model.backbones.base import AudioFeatures, FrontEnd
from coat_ray.model.batch import Batch
from coat_ray.model.block import TokenLayout
from coat_ray.targets.align import align, block_length
from coat_ray.targets.store import TargetDataset, TargetNotFound
from coat_ray.training.augment import augment_features, augment_signal, generator

logger = logging.getLogger(__name__)

CACHE_BYTES = 256 * 2**20
"""Decoded signals (and, apart from them, targets) that each worker keeps in memory."""

T = TypeVar("T")


class ByteCache(Generic[T]):
    """The values used last, bounded by their size in bytes."""

    def __init__(self, max_bytes: int, size: Callable[[T], int]) -> None:
        self._max_bytes, self._size, self._bytes = max_bytes, size, 0
        self._values: OrderedDict[Any, T] = OrderedDict()

    def get(self, key: Any, make: Callable[[], T]) -> T:
        """The value of *key*, made when it is not there."""
        if key in self._values:
            self._values.move_to_end(key)
            return self._values[key]
        value = self._values[key] = make()
        self._bytes += self._size(value)
        while self._bytes > self._max_bytes:
            self._bytes -= self._size(self._values.popitem(last=False)[1])
        return value


@dataclass(frozen=True)
class Clip:
    """A decoded clip at the front end's rate and its id."""

    signal: np.ndarray
    clip_id: str


SILENCE = Clip(np.zeros(3200, np.float32), "silence")


class Collator:
    """Makes batches from row ids."""

    def __init__(
        self,
        manifest: Manifest,
        front: FrontEnd,
        datasets: Mapping[str, TargetDataset],
        *,
        block: bool,
        limits: AudioLimits = DEFAULT_LIMITS,
        augment: AugmentConfig | None = None,
        seed: int = 0,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        """Prepare for the rows of one manifest.

        Args:
            manifest: where rows and their clips are.
            front: the backbone's front end.
            datasets: role -> stored targets of that expert.
            block: lay the thinking block out (arm "coat") or not (arm "sft").
            limits: what a clip may cost; the limits that the targets were made with.
            augment: what is done to clips; None: nothing.
            seed: fixes the draws of *augment*, together with step, row and clip.
            cache_bytes: bound of each of the two caches.
        """
        self.manifest, self.front, self.datasets, self.block = manifest, front, datasets, block
        self.limits, self.augment, self.seed = limits, augment or AugmentConfig(), seed
        self._rows = {row.id: row for row in manifest.rows}
        self._clips: ByteCache[Clip] = ByteCache(cache_bytes, lambda clip: clip.signal.nbytes)
        self._targets: ByteCache[np.ndarray | None] = ByteCache(cache_bytes, lambda a: 0 if a is None else a.nbytes)

    def __call__(self, row_ids: Sequence[str], roles: Iterable[str], step: int = 0) -> Batch:
        """Build the batch of these rows with the targets of these roles (roles without stored targets are left out).

        *step* is what augmentation draws anew for.

        A batch without any clip gets one more row, which holds a moment of silence, no response and no
        target: workers then run the same parts of the model in every step, as collective operations need it.
        ``target_masks["recon"]`` is False there, and every mask is False where a short clip was filled up with silence.

        Raises:
            ValueError: a clip that cannot be read, or a row that the front end refuses; the message names the row.
        """
        clips, layouts, draws = [], [], []
        for row_id in row_ids:
            row = self._rows[row_id]
            row_clips = self._load(row)
            layouts.append(self._layout(row, row_clips))
            clips += row_clips
            draws += [generator(self.seed, step, row_id, number) for number in range(len(row_clips))]
        heard = bool(clips)
        if not heard:
            clips, layouts, draws = [SILENCE], [*layouts, self._silent_layout()], []
        audio = self._features(clips, draws)
        lengths = audio.lengths_N.tolist()
        sounding = [min(n, block_length(len(clip.signal))) for clip, n in zip(clips, lengths, strict=True)]
        masks = {RECON: _known(sounding if heard else [0] * len(clips), lengths)}
        targets = {}
        for role in roles:
            if role in self.datasets:
                targets[role], masks[role] = self._read_targets(role, clips, sounding, lengths)
        return Batch(
            row_ids=list(row_ids),
            **_pad(layouts),
            features_NMF=audio.features_NMF,
            frames_N=audio.frames_N,
            lengths_N=audio.lengths_N,
            targets=targets,
            target_masks=masks,
        )

    def _features(self, clips: Sequence[Clip], draws: Sequence[np.random.Generator]) -> AudioFeatures:
        """Log-mel of each clip, augmented with the generator of each; no generators, no augmentation."""
        if not (self.augment.active and draws):
            return self.front.features([clip.signal for clip in clips])
        signals = [augment_signal(clip.signal, rng, self.augment) for clip, rng in zip(clips, draws, strict=True)]
        audio = self.front.features(signals)
        for mel_MF, frames, rng in zip(audio.features_NMF, audio.frames_N.tolist(), draws, strict=True):
            mel_MF.copy_(torch.from_numpy(augment_features(mel_MF.numpy(), frames, rng, self.augment)))
        return audio

    def _load(self, row: Row) -> list[Clip]:
        try:
            return [self._clips.get(uri, lambda uri=uri: self._decode(uri)) for uri in row.audios]  # type: ignore[misc]
        except AudioError as error:
            raise ValueError(f"row {row.id!r}: {error}") from error

    def _decode(self, uri: str) -> Clip:
        signal = load_audio(self.manifest.resolve(uri), self.front.sample_rate, self.limits)
        return Clip(signal, clip_id(signal))

    def _layout(self, row: Row, clips: Sequence[Clip]) -> TokenLayout:
        messages = [{"role": message.role, "content": message.content} for message in row.messages]
        try:
            lengths = [self.front.audio_length(len(clip.signal)) for clip in clips]
            return self.front.encode_row(messages, lengths, block=self.block, with_response=True)
        except ValueError as error:
            raise ValueError(f"row {row.id!r}: {error}") from error

    def _silent_layout(self) -> TokenLayout:
        length = self.front.audio_length(len(SILENCE.signal))
        asked = [{"role": "user", "content": AUDIO_MARK}]
        return self.front.encode_row(asked, [length], block=self.block, with_response=False)

    def _read_targets(
        self, role: str, clips: Sequence[Clip], sounding: Sequence[int], lengths: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        """One role's targets (sum L_a, E) on the block's grid, zero where there are none, and their mask (sum L_a,)."""
        found = [self._read_target(role, clip, n) for clip, n in zip(clips, sounding, strict=True)]
        frames = np.zeros((sum(lengths), self.datasets[role].spec.width), np.float32)
        for start, target in zip(np.cumsum([0, *lengths[:-1]]), found, strict=True):
            if target is not None:
                frames[start : start + len(target)] = target
        known = [0 if target is None else len(target) for target in found]
        return torch.from_numpy(frames), _known(known, lengths)

    def _read_target(self, role: str, clip: Clip, length: int) -> np.ndarray | None:
        """Frames (length, E) of one clip, or None where the store has none."""
        if clip is SILENCE:
            return None
        return self._targets.get((role, clip.clip_id), lambda: _on_block(self.datasets[role], clip.clip_id, length))


def _on_block(dataset: TargetDataset, clip: str, length: int) -> np.ndarray | None:
    """Stored frames, put on the block's grid where they are not; the half precision of the store is kept."""
    try:
        stored = dataset.read(clip)
    except TargetNotFound as error:
        logger.warning("training goes on without a target: %s", error)
        return None
    if dataset.meta.alignment == "block" and len(stored) == length:
        return stored
    return align(stored, dataset.meta.rate, dataset.meta.first_center, length).astype(np.float16)


def _known(counts: Sequence[int], lengths: Sequence[int]) -> Tensor:
    """A mask (sum lengths,) that is True at the first *counts* positions of each clip."""
    return torch.cat([torch.arange(length) < count for count, length in zip(counts, lengths, strict=True)])


def _pad(layouts: Sequence[TokenLayout]) -> dict[str, Any]:
    """Token ids and masks (B, S), padded on the right."""

    def stack(rows: Iterable[Sequence[Any]], dtype: torch.dtype) -> Tensor:
        return pad_sequence([torch.tensor(row, dtype=dtype) for row in rows], batch_first=True)

    return {
        "input_ids_BS": stack((x.input_ids for x in layouts), torch.long),
        "attention_mask_BS": stack(([1] * len(x) for x in layouts), torch.long),
        "audio_mask_BS": stack((x.audio for x in layouts), torch.bool),
        "think_mask_BS": stack((x.think for x in layouts), torch.bool),
        "response_mask_BS": stack((x.response for x in layouts), torch.bool),
    }
