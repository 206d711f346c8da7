"""Our own server can be evaluated: it answers, and says how much of each clip it heard."""

from __future__ import annotations

import pytest

from coat_ray.audio import clip_id, load_audio
from coat_ray.corpus.manifest import Message, Row
from coat_ray.evaluation.asking.answers import EvaluationError, ask
from coat_ray.evaluation.asking.chat import ChatEndpoint
from coat_ray.evaluation.asking.server import KEY, ServerAnswerer

from .conftest import MUSIC, SPEECH, Live, clip, encoded


@pytest.fixture
def rows(tmp_path) -> list[Row]:
    made = []
    for number in range(3):
        (tmp_path / f"{number}.wav").write_bytes(encoded(clip(number)))
        turns = (Message(role="user", content="<audio>\nwhat is heard?"), Message(role="assistant", content="a bell"))
        made.append(Row(id=f"r{number}", messages=turns, audios=(f"{number}.wav",), task="audio_qa"))
    return made


def test_our_server_is_evaluated_and_proves_what_it_heard(live: Live, rows, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv(KEY, live.keys["speech"])
    endpoint = ChatEndpoint(f"{live.url}/v1", KEY)
    front = live.serving.engine.front
    for model in ("base", SPEECH):
        answerer = ServerAnswerer(endpoint, model, lambda uri: tmp_path / uri)
        path = tmp_path / "answers" / model
        answers = ask(answerer, rows, path, model=answerer.identity(), batch_rows=2, max_new_tokens=4)
        signals = [load_audio(tmp_path / f"{number}.wav", front.sample_rate) for number in range(3)]
        assert [answer.audio for answer in answers] == [clip_id(signal) for signal in signals]
        assert [answer.audio_tokens for answer in answers] == [front.audio_length(len(signal)) for signal in signals]


def test_a_model_of_another_tenant_is_refused_with_the_servers_reason(live: Live, rows, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv(KEY, live.keys["speech"])
    answerer = ServerAnswerer(ChatEndpoint(f"{live.url}/v1", KEY), MUSIC, lambda uri: tmp_path / uri)
    with pytest.raises(EvaluationError, match="answered 404"):
        answerer.answer(rows[:1], 4)
