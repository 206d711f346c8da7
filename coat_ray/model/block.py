"""The thinking block and where every token of a sample lies (paper 3.1).

A sample is ``[prompt, block, response]``: the prompt ends with the assistant header, the block
``b(L_a) = [<|audio_think_start|>, <|audio_think|> x L_a, <|audio_think_end|>]`` holds one position per audio token,
and the response follows. The same function lays out training samples and prompts for generation, so a model can never
skip its block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

START_TOKEN, THINK_TOKEN, END_TOKEN = "<|audio_think_start|>", "<|audio_think|>", "<|audio_think_end|>"
BLOCK_TOKENS = (START_TOKEN, THINK_TOKEN, END_TOKEN)


@dataclass(frozen=True)
class BlockIds:
    """Vocabulary ids of the three block tokens."""

    start: int
    think: int
    end: int

    def as_list(self) -> list[int]:
        """The ids in the order of BLOCK_TOKENS."""
        return [self.start, self.think, self.end]


@dataclass
class TokenLayout:
    """Token ids of one sample and, position by position, what each of them is. All lists have the same length."""

    input_ids: list[int] = field(default_factory=list)
    audio: list[bool] = field(default_factory=list)
    think: list[bool] = field(default_factory=list)
    response: list[bool] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.input_ids)

    def extend(self, ids: Sequence[int], *, audio: bool = False, think: bool = False, response: bool = False) -> None:
        """Append positions of one kind."""
        self.input_ids.extend(ids)
        for flags, value in ((self.audio, audio), (self.think, think), (self.response, response)):
            flags.extend([value] * len(ids))


def block_layout(layout: TokenLayout, length: int, ids: BlockIds) -> None:
    """Append b(length) to a layout; a sample without audio (length 0) gets no block."""
    if length == 0:
        return
    layout.extend([ids.start])
    layout.extend([ids.think] * length, think=True)
    layout.extend([ids.end])


def sample_layout(
    prompt_ids: Sequence[int],
    audio_id: int,
    audio_lengths: Sequence[int],
    response_ids: Sequence[int],
    block: BlockIds | None,
) -> TokenLayout:
    """Lay out one sample.

    Args:
        prompt_ids: the prompt with one ``audio_id`` for each clip.
        audio_id: the placeholder's id; each occurrence becomes as many positions as its clip has audio tokens.
        audio_lengths: L_a of each clip, in order.
        response_ids: what the model must predict; empty when a prompt for generation is laid out.
        block: ids of the block tokens, or None for a sample without a block (vanilla and SFT).

    Raises:
        ValueError: the number of placeholders and of clips differ.
    """
    placeholders = sum(token == audio_id for token in prompt_ids)
    if placeholders != len(audio_lengths):
        raise ValueError(f"the prompt marks {placeholders} clips, but {len(audio_lengths)} were given")
    layout, lengths = TokenLayout(), iter(audio_lengths)
    for token in prompt_ids:
        if token == audio_id:
            layout.extend([audio_id] * next(lengths), audio=True)
        else:
            layout.extend([token])
    if block is not None:
        block_layout(layout, sum(audio_lengths), block)
    layout.extend(response_ids, response=True)
    return layout
