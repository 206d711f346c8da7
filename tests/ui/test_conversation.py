"""Conversations: what is sent, what is shown, what is kept when an answer breaks off."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from ui import sentences
from ui.conversation import MOST_CLIPS, MOST_TURNS, Conversation, Turn
from ui.models import Answer, AnswerError, Coming, clip_part
from ui.models import _event as event
from ui.plots.bars import bars
from ui.plots.timings import line
from ui.sound import Clip


def clip(value=0.1):
    return Clip("a.wav", np.full(1600, value, np.float32))


def test_a_clip_is_sent_with_the_turn_that_brought_it():
    talk = Conversation([Turn("what?", clip(), Answer("a dog", finish_reason="stop")), Turn("how loud?")])
    sent = talk.messages()
    assert [message["role"] for message in sent] == ["user", "assistant", "user"]
    assert [part["type"] for part in sent[0]["content"]] == ["input_audio", "text"]
    assert [part["type"] for part in sent[2]["content"]] == ["text"]
    assert talk.clip is talk.turns[0].clip


def test_a_question_without_an_answer_is_shown_and_not_sent_again():
    talk = Conversation([Turn("first?", note=sentences.LOST), Turn("second?")])
    assert [message["content"][-1]["text"] for message in talk.messages()] == ["second?"]
    shown = [message["content"] for message in talk.shown(lambda _: "player")]
    assert shown == ["first?", f"*{sentences.LOST}*", "second?"]


def answered(question, own=None):
    return Turn(question, own, Answer("yes", finish_reason="stop"))


def sounds(talk):
    """The clips and questions that are sent, in order."""
    parts = [part for message in talk.messages() if message["role"] == "user" for part in message["content"]]
    return [part["text"] if part["type"] == "text" else part["input_audio"]["data"] for part in parts]


def data(own):
    return clip_part(own.wav)["input_audio"]["data"]


def test_the_next_question_brings_the_clip_whose_own_question_had_no_answer():
    failed = Turn("and this?", clip(0.2), note=sentences.LOST)
    first = Conversation([replace(failed), Turn("again?")])
    assert sounds(first) == [data(clip(0.2)), "again?"]
    later = Conversation([answered("what?", clip(0.1)), failed, answered("this?"), Turn("how loud?")])
    assert sounds(later) == [data(clip(0.1)), "what?", data(clip(0.2)), "this?", "how loud?"]


def test_a_clip_is_sent_although_the_turn_that_brought_it_is_too_old():
    talk = Conversation([answered("what?", clip()), *(answered(str(i)) for i in range(MOST_TURNS)), Turn("last?")])
    assert sounds(talk) == [data(clip()), *map(str, range(MOST_TURNS)), "last?"]


def test_of_earlier_turns_as_many_are_sent_as_a_request_may_have_clips():
    talk = Conversation([answered(str(i), clip(i / 100)) for i in range(MOST_CLIPS + 3)])
    talk.begin(Turn("last?"))
    assert sounds(talk)[1::2] == [*map(str, range(3, MOST_CLIPS + 3))]
    assert sounds(talk)[-1] == "last?"


def test_of_earlier_turns_as_many_are_sent_as_a_request_may_have_bytes():
    long = [Clip("a.wav", np.full(16_000 * 140, value, np.float32)) for value in (0.1, 0.2, 0.3)]
    talk = Conversation([*(answered(str(i), each) for i, each in enumerate(long)), Turn("last?")])
    assert sounds(talk) == [data(long[1]), "1", data(long[2]), "2", "last?"]


def test_what_came_before_an_answer_broke_off_stays():
    talk = Conversation([Turn("what?", answer=Answer("a do"), note=sentences.BROKEN_OFF)])
    assert talk.shown(lambda _: "")[-1]["content"] == f"a do\n\n*{sentences.BROKEN_OFF}*"


def test_text_of_visitors_and_models_is_text_and_no_markup():
    talk = Conversation([Turn("<img src=x>", answer=Answer("<script>1</script>", finish_reason="stop"))])
    assert all("<" not in message["content"] for message in talk.shown(lambda _: ""))


def test_an_answer_grows_with_the_events_of_its_stream():
    answer = Answer()
    assert not answer.take({"choices": [{"delta": {"role": "assistant", "content": ""}}]})
    assert answer.take({"choices": [{"delta": {"content": "a dog"}}]})
    assert answer.take({"choices": [{"delta": {}, "finish_reason": "stop"}], "coat": {"timings": {"total": 1.0}}})
    assert not answer.take({"choices": [], "usage": {"completion_tokens": 2}})
    assert (answer.text, answer.done, answer.usage["completion_tokens"]) == ("a dog", True, 2)


async def growing(pieces, wait=0.0, problem=None):
    answer = Answer()
    for piece in pieces:
        answer.text += piece
        yield answer
        await asyncio.sleep(wait)
    if problem:
        raise problem


def followed(answers, stop_at=None):
    """What a panel shows of an answer, and whether it was stopped."""

    async def follow():
        stopped, shown = asyncio.Event(), []
        async for answer in Coming(answers, stopped).newest():
            shown.append(answer.text)
            if answer.text == stop_at:
                stopped.set()
        return shown

    return asyncio.run(asyncio.wait_for(follow(), 20))


def test_an_answer_is_shown_as_it_comes():
    shown = followed(growing("abc", wait=0.02))
    assert (shown[0], shown[-1]) == ("a", "abc")


def test_a_stopped_answer_ends_although_the_models_would_go_on():
    assert followed(growing("a" * 1000, wait=0.02), stop_at="aaa")[-1] in ("aaa", "aaaa")


def test_what_breaks_an_answer_reaches_the_panel_after_what_came():
    with pytest.raises(AnswerError, match="broke"):
        followed(growing("ab", problem=AnswerError("it broke")))


def test_an_error_within_a_stream_is_told():
    with pytest.raises(AnswerError, match="Somebody else's fault"):
        event('data: {"error": {"message": "somebody else\'s fault"}}')


def test_the_bars_of_several_answers_have_one_scale():
    slow = Answer("a", coat={"timings": {"ttft": 0.5, "total": 2.0}}, usage={"completion_tokens": 4})
    fast = Answer("b", coat={"timings": {"ttft": 0.5, "total": 1.0}}, usage={"completion_tokens": 2})
    first, second, nothing = bars([slow, fast, None])
    assert "width:100%" in first
    assert "width:50%" in second
    assert nothing == ""
    assert "first token after 500 ms · 4 tokens in 2.00 s · no block" in line(slow)
