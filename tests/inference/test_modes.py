"""What comes back beside the text: counts, times, the reasoning, and what the heads read in the block."""

import pytest

from coat_ray.inference.prompts import COT_CUE
from coat_ray.inference.requests import Delta, Mode, Result
from coat_ray.inference.views import MOST_LINES
from coat_ray.targets.align import block_length
from tests.inference.made import ask, clip
from tests.model.conftest import make_specs


def test_tokens_and_times_are_counted(engine, shelf):
    result = engine.submit(ask(shelf.sources[3], max_tokens=5)).result(120)
    usage, timings = result.usage, result.timings
    length = shelf.base.front.audio_length(len(clip(0)))
    assert (usage.audio, usage.block, usage.completion, usage.reasoning) == (length, length + 2, 5, 0)
    assert timings.tokens == 5
    assert timings.total == pytest.approx(timings.ttft + timings.decode)
    assert timings.ttft >= timings.queue + timings.encode + timings.prefill
    assert timings.encode > 0
    assert timings.reasoning == 0


def test_the_block_adds_no_decoded_token(engine, shelf):
    with_block, without = (
        engine.submit(ask(shelf.sources[3], mode=mode, max_tokens=6)).result(120) for mode in (Mode.BLOCK, Mode.PLAIN)
    )
    assert with_block.usage.completion == without.usage.completion == 6
    assert with_block.usage.prompt == without.usage.prompt + with_block.usage.block


def test_reasoning_in_text_is_decoded_before_the_answer_and_told_apart(engine, shelf):
    events = []
    request = ask(shelf.sources[3], mode=Mode.TEXT_COT, max_tokens=4, max_reasoning_tokens=7)
    result = engine.submit(request, events.append).result(120)
    cue = len(shelf.base.front.tokenizer.encode(COT_CUE, add_special_tokens=False))
    assert (result.usage.reasoning, result.usage.completion) == (7 + cue, 7 + cue + 4)
    assert len(result.tokens) == 4
    deltas = [event for event in events if isinstance(event, Delta)]
    kinds = [delta.reasoning for delta in deltas]
    assert kinds == sorted(kinds, reverse=True)
    assert "".join(delta.text for delta in deltas if delta.reasoning) == result.reasoning != ""
    assert "".join(delta.text for delta in deltas if not delta.reasoning) == result.text
    assert isinstance(events[-1], Result)
    assert result.timings.reasoning > 0


def test_the_heads_are_loaded_when_somebody_asks_what_they_read(engine, shelf):
    source = shelf.sources[0]
    plain = engine.submit(ask(source, max_tokens=1)).result(120)
    light = engine.stats().adapter_bytes
    seen = engine.submit(ask(source, max_tokens=1, thinking_columns=8)).result(120)
    assert plain.thinking == {}
    assert engine.stats().adapter_bytes > light
    assert set(seen.thinking) == set(make_specs())
    sounding = block_length(len(clip(0)))
    for view in seen.thinking.values():
        time = view["time"]
        assert time["columns"] == len(view["values"]) <= 8
        assert time["columns"] * time["positions_per_column"] >= sounding
        assert time["step"] == pytest.approx(0.04 * time["positions_per_column"])
        assert view["unit"] == "probability"
        kind = view["axes"][1]
        assert all(len(column) == len(view[kind]) <= MOST_LINES for column in view["values"])
        assert all(0 <= value <= 1 for column in view["values"] for value in column)
    assert seen.thinking["pitch"]["axes"] == ["time", "note"]
    assert seen.thinking["pitch"]["left_out"] == 88 - MOST_LINES
    assert seen.thinking["sed"]["class"] == ["Bark", "Rain", "Wind", "Bell"]


def test_where_there_is_no_block_there_is_nothing_to_read(engine, shelf):
    for request in (
        ask(None, max_tokens=1, thinking_columns=8),
        ask(shelf.sources[0], mode=Mode.PLAIN, max_tokens=1, thinking_columns=8),
        ask(shelf.sources[0], text="which note?", max_tokens=1, thinking_columns=8),
    ):
        assert engine.submit(request).result(120).thinking == {}


def test_equal_lengths_can_be_measured_on_a_model_that_would_end(open_engine, shelf):
    """The base ends its answers; asked to ignore that, it decodes to the bound."""
    engine = open_engine()
    head = engine._runner.backbone.lm_head
    head.weight.zero_()
    head.weight[shelf.base.front.end_of_turn_id] = 1
    ended, ignored = (
        engine.submit(ask(mode=Mode.TEXT_COT, max_tokens=3, max_reasoning_tokens=5, ignore_end=ignore)).result(120)
        for ignore in (False, True)
    )
    assert ended.usage.completion - ended.usage.reasoning < 3
    assert ignored.usage.completion - ignored.usage.reasoning == 3
    assert ignored.usage.reasoning == 5 + len(engine.front.tokenizer.encode(COT_CUE, add_special_tokens=False))
    assert ignored.finish_reason == "length"
