"""The block lies where the paper puts it, exactly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coat_ray.model.block import BlockIds, sample_layout

AUDIO, IDS = 7, BlockIds(start=100, think=101, end=102)
words = st.lists(st.integers(10, 50), max_size=6)


def test_a_sample_is_prompt_then_block_then_response():
    layout = sample_layout([10, AUDIO, 11], AUDIO, [3], [20, 21], IDS)
    assert layout.input_ids == [10, AUDIO, AUDIO, AUDIO, 11, 100, 101, 101, 101, 102, 20, 21]
    assert [i for i, flag in enumerate(layout.audio) if flag] == [1, 2, 3]
    assert [i for i, flag in enumerate(layout.think) if flag] == [6, 7, 8]
    assert [i for i, flag in enumerate(layout.response) if flag] == [10, 11]


def test_without_a_block_nothing_lies_between_prompt_and_response():
    assert sample_layout([10, AUDIO], AUDIO, [2], [20], None).input_ids == [10, AUDIO, AUDIO, 20]


def test_a_text_only_sample_has_no_block():
    assert sample_layout([10, 11], AUDIO, [], [20], IDS).input_ids == [10, 11, 20]


def test_a_clip_without_a_mark_is_refused():
    with pytest.raises(ValueError, match="marks 0 clips, but 1"):
        sample_layout([10], AUDIO, [4], [], IDS)


@given(parts=st.lists(st.tuples(words, st.integers(1, 9)), max_size=4), tail=words, response=words)
def test_every_audio_position_has_one_thought_and_the_rest_keeps_its_order(parts, tail, response):
    prompt = [token for text, _ in parts for token in [*text, AUDIO]] + tail
    lengths = [length for _, length in parts]
    layout = sample_layout(prompt, AUDIO, lengths, response, IDS)
    assert sum(layout.think) == sum(layout.audio) == sum(lengths)
    assert not any(a and t for a, t in zip(layout.audio, layout.think, strict=True))
    plain = [i for i in layout.input_ids if i != AUDIO and i < 100]
    assert plain == [token for token in prompt if token != AUDIO] + response
    assert len(layout.audio) == len(layout.think) == len(layout.response) == len(layout)
    assert not any(r and i >= 100 for r, i in zip(layout.response, layout.input_ids, strict=True))
