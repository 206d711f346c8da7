"""Whatever runs beside it, a request is answered as if it ran alone."""

import copy

import pytest
import torch

from coat_ray.inference.batch import RunningBatch
from coat_ray.inference.handle import Handle
from coat_ray.inference.limits import EngineLimits
from coat_ray.inference.requests import Mode
from coat_ray.inference.runner import Runner
from tests.inference.conftest import MAX_TOKENS, RANKS
from tests.inference.made import CONFIG, ask, clip
from tests.inference.steps import Steps


def test_adapters_of_every_rank_and_the_base_answer_in_one_batch_as_they_do_alone(engine, shelf):
    order = [3, None, 0, 7, 1, 5, None, 2, 6, 4, 0]
    steps = Steps(engine)
    reached, go_on = steps.hold_after(1)
    first = engine.submit(ask(max_tokens=3))
    assert reached.wait(60)
    handles = [
        engine.submit(ask(None if i is None else shelf.sources[i], seed, max_tokens=MAX_TOKENS))
        for seed, i in enumerate(order)
    ]
    go_on.set()
    answers = [list(handle.result(120).tokens) for handle in handles]
    assert answers == [shelf.alone(i, seed) for seed, i in enumerate(order)]
    assert list(first.result().tokens) == shelf.alone(None, 0)[:3]
    assert steps.most_rows >= len(order)
    assert len({tuple(answer) for answer in answers}) > len(RANKS)  # else the adapters might as well be one


@torch.inference_mode()
def test_logits_are_those_of_pefts_own_layers_even_where_an_answer_holds_a_block_token(shelf):
    runner = Runner(copy.deepcopy(shelf.base), CONFIG, EngineLimits())
    rows = [runner.row(ask(shelf.sources[i], i), Handle()) for i in (7, 2)]
    for row in rows:
        runner.equip(row)
    batch, _ = RunningBatch.prefill(runner.backbone, runner.pool.mixer, rows, runner.hearing.hear(rows))
    think = shelf.base.front.block_ids.think
    logits = batch.step([think, think])
    for found, row, i in zip(logits, rows, (7, 2), strict=True):
        backbone = shelf.models[i].backbone
        ids = torch.tensor([[*row.prompt.layout.input_ids, think]])
        audio = torch.tensor([[*row.prompt.layout.audio, False]])
        z_audio = backbone.encode_audio(backbone.front.features([clip(i)]))
        hidden = backbone.decode(backbone.embed(ids, audio, z_audio), torch.ones_like(ids))
        torch.testing.assert_close(found, backbone.lm_head(hidden[0, -1]), rtol=1e-4, atol=1e-4)


def test_joining_and_leaving_a_running_batch_changes_no_answer(engine, shelf):
    steps, handles = Steps(engine), []

    def join(i: int, seed: int, tokens: int) -> None:
        request = ask(shelf.sources[i], seed, max_tokens=tokens)
        handles.append((i, seed, tokens, engine.submit(request)))

    for after, who in {1: (1, 2, 9), 2: (2, 1, 2), 3: (4, 2, 12), 5: (5, 0, 5), 6: (1, 1, 12)}.items():
        steps.after(after, lambda who=who: join(*who))
    join(0, 0, 12)
    handles[0][3].result(120)
    while not all(handle.done for *_, handle in handles):
        [handle.result(120) for *_, handle in handles]
    assert len(handles) == 6
    assert steps.most_rows > 2
    for i, seed, tokens, handle in handles:
        assert list(handle.result().tokens) == shelf.alone(i, seed)[:tokens]


def test_without_its_block_an_adapter_answers_as_it_does_alone_without_it(engine, shelf):
    modes = (Mode.PLAIN, Mode.BLOCK, Mode.PLAIN)
    handles = [engine.submit(ask(shelf.sources[7], s, mode=m, max_tokens=MAX_TOKENS)) for s, m in enumerate(modes)]
    alone = [shelf.alone(7, seed, block=mode is Mode.BLOCK) for seed, mode in enumerate(modes)]
    assert [list(handle.result(120).tokens) for handle in handles] == alone
    assert shelf.alone(7, 0) != shelf.alone(7, 0, block=False)


def test_a_seed_draws_the_same_answer_in_any_company(engine, shelf):
    drawn = {"temperature": 1.0, "top_p": 0.95, "max_tokens": 10}
    alone = engine.submit(ask(shelf.sources[2], 1, seed=7, **drawn)).result(120)
    beside = [engine.submit(ask(shelf.sources[i], i, seed=i, **drawn)) for i in range(5)]
    again = engine.submit(ask(shelf.sources[2], 1, seed=7, **drawn)).result(120)
    other = engine.submit(ask(shelf.sources[2], 1, seed=8, **drawn)).result(120)
    [handle.result(120) for handle in beside]
    assert again.tokens == alone.tokens
    assert other.tokens != alone.tokens


def test_the_stream_is_the_answer(engine, shelf):
    request = ask(shelf.sources[7], 1, max_tokens=MAX_TOKENS)
    streamed, whole = engine.submit(request), engine.submit(request)
    pieces = [delta.text for delta in streamed]
    assert len(pieces) > 1
    assert "".join(pieces) == streamed.result().text == whole.result(120).text
    assert streamed.result().tokens == whole.result().tokens
    tokenizer = shelf.base.front.tokenizer
    assert tokenizer.decode(whole.result().tokens).startswith(whole.result().text)


def test_an_answer_ends_before_its_stop_string_which_nobody_sees(engine, shelf):
    full = engine.submit(ask(shelf.sources[7], 1, max_tokens=MAX_TOKENS)).result(120)
    at = len(full.text) // 2
    stop = full.text[at : at + 3]
    events = []
    handle = engine.submit(ask(shelf.sources[7], 1, max_tokens=MAX_TOKENS, stop=(stop,)), events.append)
    result = handle.result(120)
    assert result.text == full.text[: full.text.find(stop)]
    assert (result.finish_reason, full.finish_reason) == ("stop", "length")
    assert len(result.tokens) < len(full.tokens)
    assert "".join(event.text for event in events[:-1]) == result.text


@pytest.mark.parametrize("capacity", [1 << 20, 0])
def test_a_clip_is_encoded_once_for_a_tenant_and_its_adapters(open_engine, shelf, capacity):
    engine = open_engine(heard_bytes=capacity)
    for adapter in (shelf.sources[0], shelf.sources[1], None):
        result = engine.submit(ask(adapter, max_tokens=1)).result(120)
    again = engine.submit(ask(shelf.sources[0], max_tokens=1)).result(120)
    stranger = engine.submit(ask(shelf.sources[0], max_tokens=1, tenant="music")).result(120)
    kept = capacity > 0
    assert engine.stats().clips_encoded == (2 if kept else 5)
    assert [result.timings.cached_clips, again.timings.cached_clips] == [int(kept)] * 2
    assert (again.timings.encode == 0) == kept
    assert stranger.timings.cached_clips == 0
    assert stranger.timings.encode > 0
    assert list(again.tokens) == shelf.alone(0, 0)[:1]
