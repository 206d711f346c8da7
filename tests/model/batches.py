"""Batches for small models, without a corpus."""

import torch

from coat_ray.model.batch import Batch
from coat_ray.model.coat import CoatModel


def make_batch(model: CoatModel, clips, specs, seed: int = 0) -> Batch:
    """One question about each clip and one without sound, with random targets for each of *specs*."""
    front = model.front
    messages = [{"role": "user", "content": "<audio>\nwhat sound is heard"}, {"role": "assistant", "content": "a dog"}]
    layouts = [
        front.encode_row(messages, [front.audio_length(len(c))], block=model.block, with_response=True) for c in clips
    ]
    text = [{"role": "user", "content": "which note"}, {"role": "assistant", "content": "c sharp"}]
    layouts.append(front.encode_row(text, [], block=model.block, with_response=True))
    width = max(map(len, layouts))

    def stack(rows, fill):
        return torch.tensor([list(row) + [fill] * (width - len(row)) for row in rows])

    audio = front.features(clips)
    positions = int(audio.lengths_N.sum())
    generator = torch.Generator().manual_seed(seed)
    return Batch(
        [str(i) for i in range(len(layouts))],
        stack([x.input_ids for x in layouts], 0),
        stack([[1] * len(x) for x in layouts], 0),
        stack([x.audio for x in layouts], False),
        stack([x.think for x in layouts], False),
        stack([x.response for x in layouts], False),
        audio.features_NMF,
        audio.frames_N,
        audio.lengths_N,
        {role: torch.randn(positions, s.width, generator=generator) for role, (s, _) in specs.items()},
        {role: torch.ones(positions, dtype=torch.bool) for role in specs},
    )
