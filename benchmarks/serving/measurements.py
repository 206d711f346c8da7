"""The measurements: each takes a folder and gives lines of the table."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from benchmarks.measure import Line
from benchmarks.serving.alone import Alone
from benchmarks.serving.world import NAMES, Asked, Said, World, world

CONCURRENCIES = (1, 4, 16, 64)
REQUESTS, FEWEST = 4, 24
"""Requests for each that is asked at once; and at least so many."""

BATCHED, TURNS = {1: 8, 16: 48}, 5
"""Requests of a turn by how many are asked at once, and turns."""

LONG_TOKENS, DEFAULT_TOKENS, OVERHEAD_REQUESTS = 64, 256, 24
"""Of answers in ``load`` and ``overhead``; where a request does not say, in ``overhead``; how many are timed there."""
CLIP_SECONDS, CLIPS_EACH = (1.0, 5.0, 10.0, 30.0), 8
SHORTEST_S = 2.4
"""Shorter clips are filled up to it by the embedded base."""

TEXT_POSITIONS = 29
"""Positions of the embedded template and the question beside audio and block."""

RATE_S, KILL_SECONDS, KILL_AT_S = 0.1, 40, 12


def load(folder: Path) -> list[Line]:
    """Times and answers a second at several concurrencies; batches against one at a time; adapters; memory."""
    with world(folder / "load") as made:
        lines: list[Line] = []
        first: dict[int, set[str]] = {}
        for at_once in CONCURRENCIES:
            questions = [Asked(seed=i, tokens=LONG_TOKENS) for i in range(max(FEWEST, REQUESTS * at_once))]
            said, seconds = made.ask_all(questions, at_once)
            lines.append(_times(at_once, said, len(said) / seconds))
            for question, one in zip(questions, said, strict=True):
                first.setdefault(question.seed, set()).add(one.text)
        lines.append(_batching(made))
        equal = sum(len(texts) == 1 for texts in first.values())
        lines.append(Line("questions with equal answers at every concurrency", f"{equal} of {len(first)}", "all"))
        return [*lines, *_adapters(made)]


def _times(at_once: int, said: Sequence[Said], speed: float) -> Line:
    ttft, total = [one.ttft for one in said], [one.total for one in said]
    value = (
        f"TTFT {_at(ttft, 50):.3f} / {_at(ttft, 95):.3f} s, total {_at(total, 50):.3f} / {_at(total, 95):.3f} s, "
        f"{speed:.1f} requests/s"
    )
    return Line(f"concurrency {at_once}: p50 / p95", value, "-")


def _batching(made: World) -> Line:
    """Requests a second, 16 at a time over one at a time, in turns, because these cores change their speed."""
    taken = dict.fromkeys(BATCHED, 0.0)
    for turn in range(TURNS):
        for at_once, count in BATCHED.items():
            questions = [Asked(seed=10_000 * at_once + 100 * turn + i, tokens=LONG_TOKENS) for i in range(count)]
            taken[at_once] += made.ask_all(questions, at_once)[1]
    one, many = (TURNS * count / taken[at_once] for at_once, count in BATCHED.items())
    value = f"{many / one:.2f} ({many:.1f} ÷ {one:.1f})"
    return Line("requests/s at concurrency 16 ÷ one at a time, in turns", value, ">= 2.5")


def _adapters(made: World) -> list[Line]:
    """Eight adapters of four teams, alone and interleaved; what the engine's process holds with one and with all."""
    made.ask_all([Asked(NAMES[0], seed) for seed in range(8)], 4)
    [engine] = made.engines()
    one = engine.memory_info().rss
    questions = [Asked(name, seed) for seed in range(4) for name in NAMES]
    alone, _ = made.ask_all(questions, 1)
    mixed, _ = made.ask_all(questions, 16)
    eight = engine.memory_info().rss
    equal = sum(a.text == b.text for a, b in zip(alone, mixed, strict=True))
    different = len({said.text for said in alone[: len(NAMES)]})
    return [
        Line("8 adapters of 4 teams interleaved: equal to alone", f"{equal} of {len(questions)}", "all"),
        Line("different answers of the 8 to one question", str(different), "-"),
        Line(
            "memory of the engine's process, 8 adapters ÷ 1",
            f"{eight / one:.3f} ({eight / 1e6:.0f} ÷ {one / 1e6:.0f} MB)",
            "<= 1.15",
        ),
    ]


def overhead(folder: Path) -> list[Line]:
    """Median time of a request over HTTP and through Ray Serve, and in a process that only has the engine, in turns."""
    kinds = [(tokens, stream) for tokens in (LONG_TOKENS, DEFAULT_TOKENS) for stream in (False, True)]
    taken: dict[tuple[int, bool], list[float]] = {kind: [] for kind in kinds}
    alone: dict[int, list[float]] = {LONG_TOKENS: [], DEFAULT_TOKENS: []}
    with world(folder / "overhead") as made, Alone(made.base) as engine:
        for turn in range(OVERHEAD_REQUESTS):
            for place, (tokens, stream) in enumerate(kinds):
                question = Asked(seed=len(kinds) * turn + place, tokens=tokens, stream=stream)
                taken[tokens, stream].append(made.ask_all([question], 1)[0][0].total)
                alone[tokens].append(engine.seconds(question))
    lines = []
    for (tokens, stream), seconds in taken.items():
        server, inside = _at(seconds, 50), _at(alone[tokens], 50)
        value = f"{(server - inside) / server:.3f} ({server * 1e3:.0f} ms, in process {inside * 1e3:.0f} ms)"
        what = f"part of a request outside the engine, p50, {tokens} tokens, {'streamed' if stream else 'whole'}"
        lines.append(Line(what, value, "<= 0.15"))
    return lines


def modes(folder: Path) -> list[Line]:
    """What the block costs beside no block and beside reasoning in text, by length of the clip."""
    with world(folder / "modes") as made:
        return [line for seconds in CLIP_SECONDS for line in _modes(made, seconds)]


def _modes(made: World, seconds: float) -> list[Line]:
    each: dict[str, list[Said]] = {"plain": [], "block": [], "text_cot": []}
    for number in range(CLIPS_EACH):  # in turns, so that what else runs here slows all of them
        for offset, mode in enumerate(each):
            seed = int(1000 * seconds) + len(each) * number + offset  # no clip twice: the tower hears each one
            said, _ = made.ask_all([Asked(NAMES[0], seed, seconds, mode=mode)], 1)
            each[mode] += said
    ttft = {mode: _at([one.timings["ttft"] for one in said], 50) for mode, said in each.items()}
    total = {mode: _at([one.timings["total"] for one in said], 50) for mode, said in each.items()}
    tokens = {mode: {one.timings["tokens"] for one in said} for mode, said in each.items()}
    audio = audio_positions(seconds)
    text = TEXT_POSITIONS
    bound = f"bound {(2 * audio + text + 2) / (audio + text):.2f}"
    same = "equal" if tokens["plain"] == tokens["block"] else f"{tokens['plain']} and {tokens['block']}"
    return [
        Line(f"TTFT, block ÷ plain, clips of {seconds:g} s", f"{ttft['block'] / ttft['plain']:.2f}", bound),
        Line(f"decoded tokens, block and plain, {seconds:g} s", same, "equal"),
        Line(f"total, reasoning in text ÷ block, {seconds:g} s", f"{total['text_cot'] / total['block']:.2f}", "-"),
    ]


def kill(folder: Path) -> list[Line]:
    """Ten requests a second on two replicas of the engine, one of which is killed; nobody asks twice."""
    with world(folder / "kill", engines=2) as made:
        whole = made.ask(Asked()).text
        said = _steadily(made)
    answered = [one for one in said if not one.problem and one.complete and one.text == whole]
    false = [one for one in said if one.complete and one.text != whole]
    problems = sorted({one.problem.partition(":")[0] for one in said if one.problem})
    return [
        Line(
            f"requests answered rightly, of {len(said)}",
            f"{100 * len(answered) / len(said):.2f} % {' '.join(problems)}".rstrip(),
            ">= 99.5 %",
        ),
        Line("streams that say they are complete and are not", str(len(false)), "0"),
        Line("longest answer", f"{max(one.total for one in said):.1f} s", "-"),
    ]


def _steadily(made: World) -> list[Said]:
    """One request after the other is begun at a fixed rate, whatever became of those before."""
    asked: list[Future[Said]] = []
    with ThreadPoolExecutor(256) as threads:
        began = time.perf_counter()
        killed = False
        for number in range(round(KILL_SECONDS / RATE_S)):
            time.sleep(max(0.0, began + number * RATE_S - time.perf_counter()))
            if not killed and number * RATE_S >= KILL_AT_S:
                made.kill_an_engine()
                killed = True
            asked.append(threads.submit(made.ask, Asked()))
        return [one.result() for one in asked]


def audio_positions(seconds: float) -> int:
    """Audio tokens of a clip on the embedded base: 25 a second, of 2.4 s at least."""
    return round(25 * max(seconds, SHORTEST_S))


def _at(values: Iterable[float], percent: int) -> float:
    ordered = sorted(values)
    return ordered[0] if len(ordered) == 1 else statistics.quantiles(ordered, n=100, method="inclusive")[percent - 1]


MEASUREMENTS: dict[str, Callable[[Path], list[Line]]] = {
    "load": load,
    "overhead": overhead,
    "modes": modes,
    "kill": kill,
}
