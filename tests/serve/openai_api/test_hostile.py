"""Hostile files: each one is refused with a reason, in bounded memory, and the next question is answered."""

from __future__ import annotations

import base64
import http.client
import io
import resource
import struct
from collections.abc import Callable

import av
import httpx
import numpy as np
import openai
import pytest
import soundfile

from tests.inference.made import clip
from tests.serve.openai_api.conftest import Live, about, encoded, heard

WAV = encoded(clip(1))


def forged(data: bytes, at: int, size: int) -> bytes:
    return data[:at] + struct.pack("<I", size) + data[at + 4 :]


def silent_flac(hours: float) -> bytes:
    """Hours of silence in few bytes."""
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", 8_000, 1, format="FLAC") as sound:
        for _ in range(int(hours * 60)):
            sound.write(np.zeros(8_000 * 60, np.int16))
    return file.getvalue()


def silent_mp3(minutes: int) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp3") as container:
        stream = container.add_stream("mp3", rate=8_000, layout="mono")
        stream.bit_rate = 8_000
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8_000), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8_000
        for i in range(60 * minutes):
            frame.pts = i * 8_000
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


HOSTILE: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "a cut file": lambda: WAV[: len(WAV) // 2],
    "half a header": lambda: WAV[:20],
    "a header alone": lambda: WAV[:44],
    "a header that claims gigabytes": lambda: forged(WAV, 4, 2**32 - 100),
    "no channels": lambda: WAV[:22] + b"\0\0" + WAV[24:],
    "a thousand channels": lambda: WAV[:22] + struct.pack("<H", 1000) + WAV[24:],
    "no sample rate": lambda: forged(WAV, 24, 0),
    "a sample rate of gigahertz": lambda: forged(WAV, 24, 2**31 - 1),
    "a cut flac": lambda: encoded(clip(1), "FLAC")[:3000],
    "hours of silence as flac": lambda: silent_flac(2),
    "hours of silence whose header says nothing": lambda: _unsized(silent_flac(2)),
    "much silence as mp3": lambda: silent_mp3(20),
    "text": lambda: b"hello " * 1000,
    "a picture": lambda: b"\x89PNG\r\n\x1a\n" + bytes(1000),
    "an archive": lambda: b"PK\x03\x04" + bytes(1000),
    "a playlist": lambda: b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n",
    "noise": lambda: np.random.default_rng(0).bytes(100_000),
    "noise like mp3": lambda: b"\xff\xfb" + np.random.default_rng(0).bytes(100_000),
    "not finite": lambda: _floats(np.full(16_000, np.nan, np.float32)),
}


def _unsized(flac: bytes) -> bytes:
    """The number of samples in STREAMINFO (36 bits from byte 21) set to unknown."""
    return flac[:21] + bytes([flac[21] & 0xF0]) + bytes(4) + flac[26:]


def _floats(signal: np.ndarray) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, signal, 16_000, format="WAV", subtype="FLOAT")
    return file.getvalue()


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_file_is_refused_on_both_ways_in(live: Live, make: Callable[[], bytes]) -> None:
    data = make()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answer = live.post({"model": "base", "messages": about(heard(data))})
    assert answer.status_code in (400, 413, 415), answer.text
    assert "internal" not in answer.text
    with pytest.raises(openai.APIStatusError) as refused:
        live.client().audio.transcriptions.create(model="base", file=("a.wav", data))
    assert refused.value.status_code in (400, 413, 415)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150_000  # KiB


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
