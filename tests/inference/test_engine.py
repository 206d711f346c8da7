"""The engine takes requests from any thread, bounds what waits, lets go of what nobody wants, and stops in order."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from coat_ray.inference.errors import (
    AdapterRefused,
    EngineStopped,
    ModelFailed,
    QueueFull,
    RequestCancelled,
    RequestRefused,
)
from coat_ray.inference.requests import AdapterSource
from tests.inference.conftest import MAX_TOKENS
from tests.inference.made import ask
from tests.inference.steps import Steps


def test_one_request_more_than_may_wait_is_refused_and_the_others_are_answered(open_engine, shelf):
    engine = open_engine(rows=1, waiting=2)
    reached, go_on = Steps(engine).hold_after(1)
    running = engine.submit(ask(max_tokens=4))
    assert reached.wait(60)
    waiting = [engine.submit(ask(max_tokens=2)) for _ in range(2)]
    with pytest.raises(QueueFull, match="2 requests wait"):
        engine.submit(ask())
    waiting[0].cancel()
    with pytest.raises(RequestCancelled):
        waiting[0].result(0)
    late = engine.submit(ask(max_tokens=3))
    go_on.set()
    answers = [list(handle.result(120).tokens) for handle in (running, waiting[1], late)]
    assert answers == [shelf.alone(None, 0)[:n] for n in (4, 2, 3)]


def test_a_request_that_is_cancelled_leaves_the_batch_and_the_others_stay_as_they_are(engine, shelf):
    reached, go_on = Steps(engine).hold_after(3)
    gone = engine.submit(ask(shelf.sources[1], 1, max_tokens=500))
    stays = engine.submit(ask(shelf.sources[7], 2, max_tokens=MAX_TOKENS))
    assert reached.wait(60)
    gone.cancel()
    go_on.set()
    with pytest.raises(RequestCancelled):
        list(gone)
    assert list(stays.result(120).tokens) == shelf.alone(7, 2)
    engine.pin(shelf.sources[1])  # a round trip through the engine's thread
    assert engine.stats().running == 0


def test_a_listener_that_fails_cancels_its_own_request_only(engine, shelf):
    def broken(event):
        raise ConnectionResetError

    gone = engine.submit(ask(shelf.sources[7], 1, max_tokens=500), broken)
    stays = engine.submit(ask(max_tokens=MAX_TOKENS))
    with pytest.raises(RequestCancelled):
        gone.result(120)
    assert list(stays.result(120).tokens) == shelf.alone(None, 0)


def test_many_threads_may_ask_at_once(engine, shelf):
    def ask_and_wait(i: int) -> list[int]:
        return list(engine.submit(ask(shelf.sources[i], i, max_tokens=4)).result(120).tokens)

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(ask_and_wait, range(8)))
    assert answers == [shelf.alone(i, i)[:4] for i in range(8)]


def test_draining_answers_what_is_there_and_takes_no_more(open_engine, shelf):
    engine = open_engine(rows=1)
    reached, go_on = Steps(engine).hold_after(1)
    handles = [engine.submit(ask(max_tokens=3)) for _ in range(3)]
    assert reached.wait(60)
    assert not engine.drain(timeout=0)
    with pytest.raises(EngineStopped):
        engine.submit(ask())
    go_on.set()
    assert engine.drain()
    assert [list(handle.result(0).tokens) for handle in handles] == [shelf.alone(None, 0)[:3]] * 3
    assert not engine.alive


def test_stopping_ends_every_request_with_its_reason(open_engine, shelf):
    engine = open_engine(rows=1)
    reached, go_on = Steps(engine).hold_after(1)
    handles = [engine.submit(ask(max_tokens=500)) for _ in range(2)]
    assert reached.wait(60)
    stopper = threading.Thread(target=engine.stop)
    stopper.start()
    while engine.alive:
        pass
    go_on.set()
    stopper.join()
    for handle in handles:
        with pytest.raises(EngineStopped):
            handle.result(0)
    with pytest.raises(EngineStopped):
        engine.pin(shelf.sources[0])


def test_a_model_that_fails_ends_the_requests_it_ran_and_answers_the_next(engine, shelf):
    runner = engine._runner
    good = runner.backbone.decode
    broken = threading.Event()

    def decode(*args):
        if broken.is_set():
            broken.clear()
            raise RuntimeError("out of memory")
        return good(*args)

    runner.backbone.decode = decode
    Steps(engine).after(1, broken.set)
    with pytest.raises(ModelFailed):
        engine.submit(ask(max_tokens=5)).result(120)
    assert list(engine.submit(ask(max_tokens=5)).result(120).tokens) == shelf.alone(None, 0)[:5]


def test_a_folder_that_is_no_adapter_fails_its_own_request_only(engine, shelf, tmp_path):
    with pytest.raises(AdapterRefused, match=r"heads\.json"):
        engine.submit(ask(AdapterSource("gone", tmp_path / "gone")))
    (tmp_path / "heads.json").write_text('{"block": true}')
    broken = engine.submit(ask(AdapterSource("half", tmp_path), max_tokens=3))
    stays = engine.submit(ask(max_tokens=3))
    with pytest.raises(AdapterRefused, match="half"):
        broken.result(120)
    assert list(stays.result(120).tokens) == shelf.alone(None, 0)[:3]


def test_what_can_never_run_is_refused_when_it_is_submitted(open_engine, shelf):
    engine = open_engine(cached_positions=200)
    with pytest.raises(RequestRefused, match="holds 200"):
        engine.submit(ask(shelf.sources[0], max_tokens=100))
    other = AdapterSource("other", shelf.sources[0].folder, base={"family": "qwen2_audio", "weights": "elsewhere"})
    with pytest.raises(AdapterRefused, match="another base"):
        engine.submit(ask(other))


def test_requests_beyond_the_cache_wait_until_there_is_room(open_engine, shelf):
    engine = open_engine(cached_positions=350)
    steps = Steps(engine)
    handles = [engine.submit(ask(shelf.sources[0], 0, max_tokens=4)) for _ in range(5)]
    assert [list(handle.result(120).tokens) for handle in handles] == [shelf.alone(0, 0)[:4]] * 5
    assert steps.most_rows == 2


def test_who_wants_no_stream_is_told_the_result_alone(engine, shelf):
    told = []
    result = engine.submit(ask(shelf.sources[7], 1, max_tokens=MAX_TOKENS, stream=False), told.append).result(120)
    assert told == [result]
    assert list(result.tokens) == shelf.alone(7, 1)
