"""A judge behind a local stand-in for an OpenAI-compatible server: asked once, again where that helps, never twice."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
import sklearn.metrics

from coat_ray.evaluation.asking.answers import EvaluationError
from coat_ray.evaluation.asking.chat import ChatEndpoint
from coat_ray.evaluation.marking.judge import KEY, Case, Judge, Judgement, agreement
from coat_ray.evaluation.marking.judge_prompts import JUDGE_PROMPTS, strict_rating
from coat_ray.evaluation.request import judge_of
from coat_ray.storage import Storage

CASES = [Case("Name a colour.", "Red.", said) for said in ("Red.", "Blue.", "I do not know.")]


class StandIn:
    """Replies by ``reply(body)``: text, or (status, headers); keeps every body and header that it was sent."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.reply: Any = lambda body: "Explanation: fine.\nRating: 4"
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.bodies.append(body)
                outer.headers.append(dict(self.headers))
                said = outer.reply(body)
                status, more = said if isinstance(said, tuple) else (200, {})
                message = {"choices": [{"message": {"role": "assistant", "content": said}}]}
                data = json.dumps(message if status == 200 else {"error": {"message": "later"}}).encode()
                self.send_response(status)
                for name, value in ({"content-length": str(len(data))} | more).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    server = StandIn()
    thread = threading.Thread(target=server.server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture
def judge(stand_in, tmp_path) -> Judge:
    return Judge(ChatEndpoint(stand_in.url, KEY, pauses_s=(0.0, 0.0)), "strict-one", tmp_path / "replies")


def test_a_judge_is_asked_with_the_benchmarks_prompt_at_temperature_zero(judge, stand_in, monkeypatch) -> None:
    monkeypatch.setenv(KEY, "secret-key")
    (judgement,) = judge.judge_all("rating_at_end", CASES[:1])
    assert (judgement.rating, judgement.harness_rating, judgement.failed) == (4, 4, None)
    (body,) = stand_in.bodies
    assert (body["model"], body["temperature"]) == ("strict-one", 0)
    content = body["messages"][0]["content"]
    assert content == JUDGE_PROMPTS["rating_at_end"].ask("Name a colour.", "Red.", "Red.")
    assert "Name a colour." in content
    assert stand_in.headers[0]["Authorization"] == "Bearer secret-key"
    assert all("secret-key" not in path.read_text() for path in judge.cache.rglob("*") if path.is_file())


def test_what_was_judged_once_is_not_asked_again(judge, stand_in) -> None:
    first = judge.judge_all("rating_at_end", CASES)
    assert judge.judge_all("rating_at_end", CASES) == first
    assert len(stand_in.bodies) == len(CASES)
    judge.judge_all("rating_at_end", [*CASES, Case("Name a colour.", "Red.", "Green.")])
    assert len(stand_in.bodies) == len(CASES) + 1


def test_another_model_at_the_same_place_is_asked_for_itself(judge, stand_in) -> None:
    judge.judge_all("rating_at_end", CASES[:1])
    Judge(judge.endpoint, "another", judge.cache).judge_all("rating_at_end", CASES[:1])
    assert [body["model"] for body in stand_in.bodies] == ["strict-one", "another"]


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_what_may_pass_is_asked_again(judge, stand_in, status) -> None:
    stand_in.reply = lambda body: (status, {"Retry-After": "0"}) if len(stand_in.bodies) < 3 else "Rating: 5"
    assert judge.judge("rating_at_end", CASES[0]).rating == 5
    assert len(stand_in.bodies) == 3


def test_a_refusal_is_not_asked_again_and_is_no_zero(judge, stand_in) -> None:
    stand_in.reply = lambda body: (400, {}) if "Blue." in body["messages"][0]["content"] else "Rating: 5"
    judged = judge.judge_all("rating_at_end", CASES)
    assert [judgement.rating for judgement in judged] == [5, None, 5]
    assert "answered 400" in judged[1].failed
    assert len(stand_in.bodies) == 3
    strict = [judgement.strict for judgement in judged]
    assert sum(mark.numerator for mark in strict) / sum(mark.denominator for mark in strict) == 1
    compatible = [judgement.compatible for judgement in judged]
    assert sum(mark.numerator for mark in compatible) / sum(mark.denominator for mark in compatible) == 2 / 3
    judge.judge_all("rating_at_end", CASES)  # the failed one, and only it, is asked again
    assert len(stand_in.bodies) == 4


def test_a_reply_without_a_rating_fails_that_judgement_only(judge, stand_in) -> None:
    stand_in.reply = lambda body: "It is fine." if "Blue." in body["messages"][0]["content"] else "Rating: 1"
    assert [judgement.rating for judgement in judge.judge_all("rating_at_end", CASES)] == [1, None, 1]


def test_a_judge_that_rates_nothing_is_an_error(judge, stand_in) -> None:
    stand_in.reply = lambda body: "It is fine."
    with pytest.raises(EvaluationError, match=r"rated nothing: no rating in 'It is fine\.'"):
        judge.judge_all("rating_at_end", CASES)


def test_a_judge_that_cannot_be_reached_says_where(tmp_path) -> None:
    judge = Judge(ChatEndpoint("http://127.0.0.1:9", KEY, pauses_s=()), "gone", tmp_path)
    assert "cannot reach http://127.0.0.1:9/chat/completions" in judge.judge("rating_at_end", CASES[0]).failed


@pytest.mark.parametrize(
    ("reply", "rating"),
    [
        ("Explanation: good.\nRating: 4", 4),
        ("Rating: (3)", 3),
        ("**Rating:** 5", 5),
        ("rating: 0", 0),
        ("The reference names 3 sounds.\nRating: 2", 2),
        ("Rating: 4/5", 4),
        ("Rating: 4\nRating: 4", 4),
        ("Rating: 1\nRating: 2", None),
        ("Rating: 7", None),
        ("Rating: 10", None),
        ("Rating: 4.5", None),
        ("4", None),
        ("Score4", None),
        ("", None),
        ("Rating: four", None),
    ],
)
def test_a_rating_is_read_only_where_it_is_stated(reply, rating) -> None:
    assert strict_rating(reply) == rating


def test_agreement_is_sklearns_kappa_of_the_answers_that_both_rated() -> None:
    rng = np.random.default_rng(0)
    ones = [int(x) for x in rng.integers(0, 6, 80)]
    others = [min(5, max(0, x + int(d))) for x, d in zip(ones, rng.integers(-1, 2, 80), strict=True)]
    first = [Judgement(x, x) for x in ones] + [Judgement(None, 0, failed="x")]
    found = agreement(first, [Judgement(x, x) for x in [*others, 3]])
    assert found.n == 80
    assert found.kappa == pytest.approx(sklearn.metrics.cohen_kappa_score(ones, others))
    expected = sklearn.metrics.cohen_kappa_score(ones, others, weights="quadratic", labels=range(6))
    assert found.weighted_kappa == pytest.approx(expected)
    assert found.equal == pytest.approx(np.mean(np.array(ones) == np.array(others)))


def test_agreement_by_hand_and_where_there_is_none() -> None:
    pair = [Judgement(5, 5), Judgement(0, 0), Judgement(5, 5), Judgement(0, 0)]
    assert agreement(pair, pair).kappa == 1
    assert agreement(pair, [*pair[1:], pair[0]]).kappa == -1
    assert agreement([Judgement(5, 5)], [Judgement(5, 5)]).kappa == 1
    with pytest.raises(ValueError, match="no answer in common"):
        agreement([Judgement(None, 0)], [Judgement(5, 5)])


def test_a_judge_is_named_by_model_and_address(tmp_path) -> None:
    judge = judge_of("org/judge@7b@https://host/v1", Storage(tmp_path))
    assert (judge.model, judge.endpoint.url) == ("org/judge@7b", "https://host/v1")
    with pytest.raises(EvaluationError, match="MODEL@ADDRESS"):
        judge_of("host/v1", Storage(tmp_path))
