"""The page's share of time to first token, its first paint, and many visitors at once: ``python -m benchmarks.ui``.

Needs Chromium. The platform, the models (embedded base) and the page run in a process of their own.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx

from benchmarks.measure import Line, show
from benchmarks.visitor import Visitor, chromium
from ui.examples import examples
from ui.models import clip_part

QUESTION = "what sound is heard?"
WANTED_MS = 150


def main() -> None:
    """Parse and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(MEASUREMENTS), help=f"of {', '.join(MEASUREMENTS)}")
    parser.add_argument("--times", type=int, default=20, help="questions in the first measurement")
    parser.add_argument("--visitors", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=300.0, help="how long the visitors stay")
    arguments = parser.parse_args()
    show("The page", arguments.names, MEASUREMENTS, arguments)


def first_token(folder: Path, arguments: argparse.Namespace) -> list[Line]:
    """Through a real browser: from the click to the first text, less what the API itself takes in the same run."""
    with world(folder) as (url, models_url, key), chromium() as browser:
        visitor = Visitor(browser, url, folder)
        begun = time.perf_counter()
        page = visitor.sign_in(key)
        page.locator("#ask-question textarea").wait_for()
        usable = time.perf_counter() - begun
        paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        page.get_by_role("button", name=examples()[0].title).first.click()
        page.locator("#ask-clip .waveform-container, #ask-clip [data-testid=waveform-controls]").first.wait_for()
        page.evaluate(WATCH)
        through, alone = [], []
        for _ in range(arguments.times):
            page.locator("#ask-new").click()
            page.wait_for_function("!document.querySelector('#ask-chat .bot')")
            page.locator("#ask-question textarea").fill(QUESTION)
            through.append(page.evaluate(CLICK))
            page.locator("#ask-send").wait_for()
            alone.append(_first_of_api(models_url, key) * 1000)
    share = statistics.median(through) - statistics.median(alone)
    return [
        Line("first contentful paint of the page", f"{paint:.0f} ms", "-"),
        Line("from the door's button to a page that can be used", f"{usable:.2f} s", "-"),
        Line("first token of the API, median", f"{statistics.median(alone):.0f} ms", "-"),
        Line("first token on the page, median", f"{statistics.median(through):.0f} ms", "-"),
        Line("the page's share", f"{share:.0f} ms", f"at most {WANTED_MS} ms"),
    ]


WATCH = """() => { window.askedAt = () => new Promise((told) => {
  const start = performance.now();
  const look = new MutationObserver(() => {
    const said = document.querySelector('#ask-chat .bot');
    if (said && said.innerText.trim()) { look.disconnect(); told(performance.now() - start); } });
  look.observe(document.querySelector('#ask-chat'), { childList: true, subtree: true, characterData: true });
  document.querySelector('#ask-send').click(); }); }"""
CLICK = "() => window.askedAt()"


def visitors(folder: Path, arguments: argparse.Namespace) -> list[Line]:
    """Sessions that ask through the page's own queue for a while; each answer is compared with the API's."""
    with world(folder) as (url, models_url, key):
        expected = _answer_of_api(models_url, key)
        found: list[tuple[float, str]] = []
        problems: list[str] = []
        end = time.monotonic() + arguments.seconds
        threads = [
            threading.Thread(target=_visit, args=((url, key), number, end, found, problems))
            for number in range(arguments.visitors)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    wrong = [text for _, text in found if text != expected]
    seconds = sorted(taken for taken, _ in found) or [0.0]
    return [
        Line(f"answers to {arguments.visitors} visitors in {arguments.seconds:g} s", str(len(found)), "-"),
        Line("errors", f"{len(problems)} {problems[:1] or ''}", "0"),
        Line("answers unlike the API's", str(len(wrong)), "0"),
        Line("a whole answer, median", f"{statistics.median(seconds):.2f} s", "-"),
        Line("a whole answer, slowest", f"{seconds[-1]:.2f} s", "-"),
    ]


MEASUREMENTS = {"first_token": first_token, "visitors": visitors}


def _visit(
    address: tuple[str, str], number: int, end: float, found: list[tuple[float, str]], problems: list[str]
) -> None:
    url, key = address
    with httpx.Client(base_url=f"{url}/ui", timeout=120, follow_redirects=False) as http:
        http.post("/door", data={"key": key})
        begin = next(each for each in http.get("/config").json()["dependencies"] if each["api_name"] == "begin")
        turn = 0
        while time.monotonic() < end:
            turn += 1
            start = time.perf_counter()
            try:
                found.append((start, _asked(http, begin, f"visitor{number}turn{turn}")))
                found[-1] = (time.perf_counter() - start, found[-1][1])
            except Exception as error:  # noqa: BLE001 - whatever it is, it is counted
                problems.append(f"{type(error).__name__}: {error}")


def _asked(http: httpx.Client, begin: dict[str, Any], tab: str) -> str:
    """One question in a tab of its own, with the page's first example; gives the answer's text."""
    file = {"path": str(examples()[0].path), "meta": {"_type": "gradio.FileData"}}
    event = {"data": [QUESTION, file, "base", "plain"], "fn_index": begin["id"], "session_hash": tab}
    http.post("/gradio_api/queue/join", json=event).raise_for_status()
    with http.stream("GET", "/gradio_api/queue/data", params={"session_hash": tab}) as events:
        for line in events.iter_lines():
            told = json.loads(line[6:]) if line.startswith("data: ") else {}
            if told.get("msg") == "process_completed":
                return _said(told["output"])
    raise RuntimeError("the stream ended before the answer")


def _said(output: dict[str, Any]) -> str:
    """The text of the assistant in the last state of the conversation."""
    message = output["data"][0][-1]
    parts = message["content"]
    return str(parts if isinstance(parts, str) else "".join(part.get("text", "") for part in parts)).strip()


def _body() -> dict[str, Any]:
    content = [clip_part(examples()[0].path.read_bytes()), {"type": "text", "text": QUESTION}]
    return {"model": "base", "messages": [{"role": "user", "content": content}], "coat": {"mode": "plain"}}


def _first_of_api(url: str, key: str) -> float:
    start = time.perf_counter()
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.stream("POST", f"{url}/v1/chat/completions", json=_body() | {"stream": True}, headers=headers) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: {") and json.loads(line[6:])["choices"][0]["delta"].get("content"):
                return time.perf_counter() - start
    raise RuntimeError("the API gave no text")


def _answer_of_api(url: str, key: str) -> str:
    headers = {"Authorization": f"Bearer {key}"}
    answer = httpx.post(f"{url}/v1/chat/completions", json=_body(), headers=headers, timeout=120)
    return str(answer.raise_for_status().json()["choices"][0]["message"]["content"]).strip()


@contextmanager
def world(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Platform, models and page in a process of their own; gives the page's and the models' address, and a key."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    own = Path(tempfile.mkdtemp(dir=folder))
    process = context.Process(target=_serve, args=(own, there), daemon=True)
    process.start()
    try:
        yield here.recv()
    finally:
        process.terminate()
        process.join()


def _serve(folder: Path, told: Connection) -> None:
    """In the child: three servers, until it is ended."""
    import uvicorn  # noqa: PLC0415 - the parent needs none of this
    from fastapi import FastAPI  # noqa: PLC0415

    from coat_ray.config import BackboneConfig  # noqa: PLC0415
    from coat_ray.inference.engine import Engine  # noqa: PLC0415
    from coat_ray.storage import Storage  # noqa: PLC0415
    from coat_ray.tenancy.database import Database  # noqa: PLC0415
    from coat_ray.tenancy.keys import create_key  # noqa: PLC0415
    from coat_ray.tenancy.ledger import Ledger  # noqa: PLC0415
    from coat_ray.tenancy.roles import PLATFORM, Role  # noqa: PLC0415
    from coat_ray.tenancy.scheduling.demand import Resources  # noqa: PLC0415
    from coat_ray.tenancy.tenants import create_tenant  # noqa: PLC0415
    from serve.access import Platform  # noqa: PLC0415
    from serve.openai.app import build_app as models_app  # noqa: PLC0415
    from serve.openai.serving import Serving  # noqa: PLC0415
    from serve.platform_api import build_app as platform_app  # noqa: PLC0415
    from ui.app import mount  # noqa: PLC0415

    database = Database.open(storage_root=folder)
    platform = Platform(database, Ledger(database, lambda: Resources(1, 0)), Storage(folder))
    with database.begin() as session:
        create_tenant(session, "bench", actor=PLATFORM)
        key = create_key(session, role=Role.MEMBER, tenant="bench", actor=PLATFORM).text
    serving = Serving(platform, Engine.open(BackboneConfig()), BackboneConfig())
    serve = partial(_run, uvicorn)
    urls = [serve(platform_app(platform)), serve(models_app(serving))]
    page = serve(mount(FastAPI(openapi_url=None), *urls))
    told.send((page, urls[1], key))
    threading.Event().wait()


def _run(uvicorn: Any, app: Any) -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.05)
    return f"http://127.0.0.1:{port}"


if __name__ == "__main__":
    main()
