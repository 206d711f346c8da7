"""How many positions a row takes, without decoding its clips: what the plan packs batches by."""

from __future__ import annotations

from collections.abc import Sequence

from coat_ray.config import ConfigError
from coat_ray.corpus.manifest import AUDIO_MARK, Row
from coat_ray.model.backbones.base import FrontEnd

Shape = tuple[tuple[str, int], ...]
"""(role, number of clips) of each message."""

CHUNK = 10_000
"""Messages tokenised at once."""


def row_lengths(rows: Sequence[Row], front: FrontEnd, *, exact: bool = False) -> list[int]:
    """Positions of each row: its text, and each clip's audio tokens once as sound and once as block.

    Text is tokenised; what the chat template adds is measured once for each shape of conversation. The clips of a row
    are taken to be equally long, as a manifest states their length together. The arm without a block is planned as if
    it had one, so that both arms see the same batches.

    Args:
        rows: rows of a manifest.
        front: the backbone's front end.
        exact: whether a budget rests on the lengths.

    Raises:
        ConfigError: *exact*, and a row has clips but does not say how long they are.
    """
    templates: dict[Shape, int] = {}
    lengths = []
    for row, text in zip(rows, _text_lengths(rows, front), strict=True):
        if exact and row.audios and row.seconds is None:
            raise ConfigError(
                f"row {row.id!r} does not say how long its clips are: training.batch_tokens and training.micro_tokens "
                f"need `seconds` in every row of the manifest"
            )
        shape = tuple((message.role, message.content.count(AUDIO_MARK)) for message in row.messages)
        if shape not in templates:
            templates[shape] = _template_length(shape, front)
        lengths.append(text + templates[shape] + 2 * _audio_tokens(row, front))
    return lengths


def _audio_tokens(row: Row, front: FrontEnd) -> int:
    """Audio tokens of all clips; 0 where the manifest does not say how long they are."""
    if not row.audios or row.seconds is None:
        return 0
    samples = round(row.seconds / len(row.audios) * front.sample_rate)
    try:
        return len(row.audios) * front.audio_length(samples)
    except ValueError:  # too short: the collator says so, with the clip at hand
        return 0


def _text_lengths(rows: Sequence[Row], front: FrontEnd) -> list[int]:
    """Tokens of all messages of each row, without their template."""
    contents = [message.content.replace(AUDIO_MARK, "") for row in rows for message in row.messages]
    tokens: list[int] = []
    for start in range(0, len(contents), CHUNK):
        encoded = front.tokenizer(contents[start : start + CHUNK], add_special_tokens=False)
        tokens += [len(ids) for ids in encoded["input_ids"]]
    counts, place = [], 0
    for row in rows:
        counts.append(sum(tokens[place : place + len(row.messages)]))
        place += len(row.messages)
    return counts


def _template_length(shape: Shape, front: FrontEnd) -> int:
    """What chat template, end of turn and the block's own two tokens add to a conversation of this shape."""
    empty = [{"role": role, "content": AUDIO_MARK * clips} for role, clips in shape]
    clips = sum(count for _, count in shape)
    return len(front.encode_row(empty, [1] * clips, block=True, with_response=True)) - 2 * clips
