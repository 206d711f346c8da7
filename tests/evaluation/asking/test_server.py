"""A server answers, hears the very samples, and must say how much it heard."""

import base64
import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import soundfile

from coat_ray.audio import clip_id
from coat_ray.corpus.manifest import Message, Row
from coat_ray.evaluation.asking.answers import AudioNotHeardError, EvaluationError
from coat_ray.evaluation.asking.chat import ChatEndpoint
from coat_ray.evaluation.asking.server import KEY, ServerAnswerer
from tests.evaluation.benchmarks.datasets_of_ours import wav


class Hearing:
    """A chat server that answers with the ids of the clips it was sent; ``usage`` is what it says of them."""

    def __init__(self, usage) -> None:
        self.bodies = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.bodies.append(body)
                parts = [part for message in body["messages"] for part in message["content"]]
                clips = [part["input_audio"]["data"] for part in parts if part["type"] == "input_audio"]
                said = " ".join(
                    clip_id(soundfile.read(io.BytesIO(base64.b64decode(c)), dtype="float32")[0]) for c in clips
                )
                data = json.dumps({"choices": [{"message": {"content": said}}], "usage": usage}).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def ask(tmp_path):
    servers = []

    def asked(usage, marks=1):
        server = Hearing(usage)
        servers.append(server.server)
        for number in range(marks):
            (tmp_path / f"{number}.wav").write_bytes(wav(number))
        content = "<audio>\n" * marks + "what is heard?"
        turns = (Message(role="user", content=content), Message(role="assistant", content="the secret reference"))
        row = Row(id="r", messages=turns, audios=tuple(f"{n}.wav" for n in range(marks)))
        answerer = ServerAnswerer(ChatEndpoint(server.url, KEY, pauses_s=()), "m", lambda uri: tmp_path / uri)
        return server, answerer, answerer.answer([row], 16)

    yield asked
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("marks", [1, 2])
def test_the_server_hears_the_very_samples_and_never_the_reference(ask, marks) -> None:
    server, answerer, (said,) = ask({"prompt_tokens_details": {"audio_tokens": 10 * marks}}, marks)
    assert said.text == " ".join(said.clips)
    assert said.audio_tokens == 10 * marks
    (body,) = server.bodies
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("m", 0, 16)
    assert "secret" not in json.dumps(body)
    assert [part["type"] for part in body["messages"][0]["content"]] == ["input_audio"] * marks + ["text"]
    assert answerer.identity() == f"{server.url} m"


@pytest.mark.parametrize(
    "usage",
    [None, {}, {"prompt_tokens": 5}, {"prompt_tokens_details": {"audio_tokens": 0}}, {"prompt_tokens_details": 3}],
)
def test_a_server_that_does_not_say_what_it_heard_ends_the_run(ask, usage) -> None:
    with pytest.raises(AudioNotHeardError, match="nothing proves that the clip reached the model"):
        ask(usage)


def test_a_server_that_is_not_there_is_named(tmp_path) -> None:
    (tmp_path / "0.wav").write_bytes(wav(0))
    turns = (Message(role="user", content="<audio>\nwhat?"), Message(role="assistant", content="x"))
    row = Row(id="r", messages=turns, audios=("0.wav",))
    answerer = ServerAnswerer(ChatEndpoint("http://127.0.0.1:9/v1", KEY, pauses_s=()), "m", lambda uri: tmp_path / uri)
    with pytest.raises(EvaluationError, match="cannot reach http"):
        answerer.answer([row], 8)
