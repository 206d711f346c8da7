"""Where adapters' block tokens stand in a vocabulary that knows one block.

A prompt for vLLM is a list of ids, and its input rows come from one matrix. Every adapter in memory has three spare
rows of the base's matrix for its own block; a prompt that names them gets its own adapter's rows, whatever else runs.
"""

from __future__ import annotations

from collections.abc import Sequence

from coat_ray.model.block import BlockIds


def spare_rows(tokens: int, vocabulary: int, most: int) -> list[BlockIds]:
    """Places for the blocks of at most *most* adapters.

    Args:
        tokens: entries of the tokenizer, the base's own block included.
        vocabulary: rows of the matrix.
        most: as many are enough.
    """
    starts = range(tokens, vocabulary - 2, 3)[:most]
    return [BlockIds(start, start + 1, start + 2) for start in starts]


def moved(ids: Sequence[int], own: BlockIds, place: BlockIds) -> list[int]:
    """Token ids with the block *own* written as the one at *place*."""
    there = dict(zip(own.as_list(), place.as_list(), strict=True))
    return [there.get(token, token) for token in ids]
