"""Three hundred malformed uploads at the models' API, both ways in: ``python -m benchmarks.hostile``.

Starts the service as a process of its own. Wanted: each one refused with 4xx in under a second, less than 300 MB more
memory, the same process at the end, and the next question answered. Times are those of one client on this machine; the
server's processor time beside them does not depend on what else the machine does.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx

from benchmarks.malformed import FORMATS, Upload, chat_body, uploads
from benchmarks.measure import Line, show
from benchmarks.own_models import OwnModels

MIB = 2**20


@dataclass(frozen=True)
class Refusal:
    """What came of one upload."""

    name: str
    status: int
    seconds: float
    cpu_seconds: float


def chat(client: httpx.Client, body: bytes) -> httpx.Response:
    """Ask the chat endpoint with a body as it is."""
    return client.post("/v1/chat/completions", content=body, headers={"Content-Type": "application/json"})


def transcription(client: httpx.Client, data: bytes) -> httpx.Response:
    """Send a file to be transcribed."""
    return client.post("/v1/audio/transcriptions", data={"model": "base"}, files={"file": ("a.wav", data)})


def sent(service: OwnModels, client: httpx.Client, which: Iterable[Upload]) -> Iterator[Refusal]:
    """Send each upload to the chat endpoint, and files also to be transcribed; making them is not in the times."""
    for upload in which:
        data = upload.make()
        body = data if upload.body else chat_body(data)
        yield _refusal(f"{upload.name} (chat)", service, partial(chat, client, body))
        if not upload.body:
            yield _refusal(f"{upload.name} (transcription)", service, partial(transcription, client, data))


def _refusal(name: str, service: OwnModels, ask: Callable[[], httpx.Response]) -> Refusal:
    used, began = service.cpu_seconds(), time.perf_counter()
    answer = ask()
    return Refusal(name, answer.status_code, time.perf_counter() - began, service.cpu_seconds() - used)


def measure(folder: Path) -> list[Line]:
    """All of them against one process."""
    with OwnModels(folder / "home") as service, service.client() as client:
        good = chat_body(FORMATS["wav"]())
        for _ in range(3):
            chat(client, good).raise_for_status()
        before, began = service.peak_bytes(), service.started()
        refusals = list(sent(service, client, uploads()))
        grown = service.peak_bytes() - before
        same = service.process.poll() is None and service.started() == began
        answered = chat(client, good).status_code == 200
    return [
        *_lines(refusals),
        Line("memory grown at the peak", f"{grown / MIB:.0f} MiB", "< 286 MiB (300 MB)"),
        Line("the same process, which answers the next question", "yes" if same and answered else "NO", "yes"),
    ]


def _lines(refusals: list[Refusal]) -> list[Line]:
    statuses = Counter(refusal.status for refusal in refusals)
    wrong = [refusal.name for refusal in refusals if not 400 <= refusal.status < 500]
    times = sorted(refusal.seconds for refusal in refusals)
    slowest = sorted(refusals, key=lambda refusal: refusal.seconds)[-3:]
    costly = max(refusals, key=lambda refusal: refusal.cpu_seconds)
    counts = ", ".join(f"{number} x {status}" for status, number in sorted(statuses.items()))
    return [
        Line("uploads sent", f"{len(refusals)} ({counts})", ">= 300, all 4xx"),
        Line("answered with anything but 4xx", "; ".join(wrong) or "none", "none"),
        Line("seconds each, median", f"{statistics.median(times):.3f}", ""),
        Line("seconds each, 99 %", f"{times[int(0.99 * len(times))]:.3f}", ""),
        *(Line(f"among the slowest: {slow.name}", f"{slow.seconds:.3f} s", "< 1 s") for slow in reversed(slowest)),
        Line(f"most processor time: {costly.name}", f"{costly.cpu_seconds:.2f} s", ""),
    ]


if __name__ == "__main__":
    show("malformed uploads", ["all"], {"all": measure})
