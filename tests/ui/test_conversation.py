"""Conversations: what is sent, what is shown, what is kept when an answer breaks off."""

from __future__ import annotations

import numpy as np
import pytest

from ui import sentences
from ui.conversation import Conversation, Turn
from ui.models import Answer, AnswerError
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
