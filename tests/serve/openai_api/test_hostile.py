"""Hostile uploads: each one is refused with a reason, in bounded memory, and the next question is answered."""

from __future__ import annotations

import base64
import http.client
import resource
from itertools import count, groupby

import httpx
import pytest

from benchmarks.malformed import Upload, chat_body, uploads
from tests.serve.openai_api.conftest import Live, about

UPLOADS = {kind: list(made) for kind, made in groupby(uploads(), lambda upload: upload.name.partition(":")[0])}
turns = count()


def test_there_are_three_hundred_and_no_two_are_the_same() -> None:
    every = [upload for made in UPLOADS.values() for upload in made]
    assert len(every) >= 300
    assert len({upload.name for upload in every}) == len(every)
    assert set(UPLOADS) == {"cut", "forged", "bomb", "other", "not finite", "nested", "noise", "body"}


def peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def sent(live: Live, upload: Upload) -> httpx.Response:
    """Files go in turn to the chat and to be transcribed."""
    data = upload.make()
    if upload.body or next(turns) % 2:
        return live.post(data if upload.body else chat_body(data))
    headers = {"Authorization": f"Bearer {live.keys['speech']}"}
    url, file = f"{live.url}/v1/audio/transcriptions", ("a.wav", data)
    return httpx.post(url, data={"model": "base"}, files={"file": file}, headers=headers, timeout=120)


@pytest.mark.parametrize("kind", UPLOADS)
def test_a_hostile_upload_is_refused_with_a_reason(live: Live, kind: str) -> None:
    before = peak_kib()
    for upload in UPLOADS[kind]:
        answer = sent(live, upload)
        assert answer.status_code in (400, 413, 415), (upload.name, answer.text[:500])
        error = answer.json()["error"]
        assert error["code"] != "internal_error"
        assert len(error["message"].split()) > 3, upload.name
        assert answer.headers["x-should-retry"] == "false"
    assert peak_kib() - before < 300_000  # that of the client among it
    assert live.serving.intake.held == 0


def test_a_body_beyond_the_bound_is_not_read(live: Live) -> None:
    connection = http.client.HTTPConnection(live.url.removeprefix("http://"), timeout=60)
    connection.putrequest("POST", "/v1/chat/completions")
    for name, value in {
        "Authorization": f"Bearer {live.keys['speech']}",
        "Content-Type": "application/json",
        "Content-Length": str(live.serving.limits.body_bytes + 1),
    }.items():
        connection.putheader(name, value)
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


def test_huge_base64_and_millions_of_values_take_no_memory(live: Live) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    huge = base64.b64encode(bytes(11 * 2**20))
    body = b'{"model":"base","messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"format":"wav",'
    assert live.post(body + b'"data":"' + huge + b'"}}]}]}').status_code in (400, 415)
    assert live.post(b'{"messages":[' + b"[]," * 4_000_000 + b"0]}").status_code == 400
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 250_000  # KiB


@pytest.mark.parametrize(
    "body",
    [
        b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n' * 5000 + b"--b--\r\n",
        b"--b\r\nContent-Disposition: form-data\r\n\r\n1\r\n--b--\r\n",
        b"--b\r\n" + b"x" * 100_000,
        b"no form at all",
        b"",
    ],
    ids=["thousands of parts", "no name", "an endless header", "no form", "nothing"],
)
def test_a_hostile_form_is_refused(live: Live, body: bytes) -> None:
    headers = {
        "Authorization": f"Bearer {live.keys['speech']}",
        "Content-Type": "multipart/form-data; boundary=b",
    }
    answer = httpx.post(f"{live.url}/v1/audio/transcriptions", content=body, headers=headers, timeout=60)
    assert answer.status_code == 400, answer.text


def test_the_next_question_is_answered(live: Live) -> None:
    assert live.post({"model": "base", "messages": about(), "max_tokens": 1}).status_code == 200
    assert live.serving.intake.held == 0
