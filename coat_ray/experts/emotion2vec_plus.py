"""emotion2vec+ large, a wider affect teacher: 1024 instead of 768, with a read-out of nine emotions.

The network is that of emotion2vec.py; its depth and heads are read off the checkpoint. The read-out was trained on the
mean over an utterance; it is linear, so its logits per frame average to the published ones.
"""

from __future__ import annotations

from coat_ray.experts.base import OfficialWeights
from coat_ray.experts.emotion2vec import Emotion2vec


class Emotion2vecPlus(Emotion2vec):
    """The wider affect teacher. There are no embedded weights of it."""

    name = "emotion2vec_plus"
    official = OfficialWeights(
        file="emotion2vec_plus_large.pt",
        url="https://huggingface.co/emotion2vec/emotion2vec_plus_large/resolve/main/model.pt",
        licence="model-license (emotion2vec)",
    )
    width, emotions = 1024, 9
