"""What is measured of answering, per base and tenant, as metrics of Ray: every node offers them to Prometheus."""

from __future__ import annotations

from dataclasses import asdict

from ray.util.metrics import Counter, Gauge, Histogram

from coat_ray.inference.engine import EngineStats
from coat_ray.inference.handle import Event
from coat_ray.inference.requests import Request, Result
from coat_ray.inference.vllm.engine import VllmStats

SECONDS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0]
"""Borders of the histograms."""


class AnswerMetrics:
    """Requests, their outcomes, times and tokens, by base and tenant; of a door."""

    def __init__(self, base: str) -> None:
        keys = ("base", "tenant")
        self._base = base
        self._requests = Counter("coat_answers_total", "Answers by how they ended.", (*keys, "outcome"))
        self._prompt = Counter("coat_prompt_tokens_total", "Positions of prompts.", keys)
        self._completion = Counter("coat_completion_tokens_total", "Tokens of answers.", keys)
        self._cached = Counter("coat_cached_clips_total", "Clips that the tower did not hear again.", keys)
        self._clips = Counter("coat_clips_total", "Clips in requests.", keys)
        self._again = Counter("coat_answers_begun_again_total", "Answers whose replica died.", keys)
        self._ttft = Histogram("coat_ttft_seconds", "Submission to first token.", SECONDS, keys)
        self._queue = Histogram("coat_queue_seconds", "Submission to admission.", SECONDS, keys)
        self._total = Histogram("coat_answer_seconds", "Submission to the end.", SECONDS, keys)
        self._speed = Histogram("coat_tokens_per_second", "Tokens of an answer by its decode time.", SPEEDS, keys)

    def begun_again(self, request: Request) -> None:
        """A replica died under a request, and another one takes it."""
        self._again.inc(tags=self._tags(request))

    def ended(self, request: Request, event: Event) -> None:
        """A request has its result, or the reason that it has none."""
        tags = self._tags(request)
        outcome = "answered" if isinstance(event, Result) else type(event).__name__
        self._requests.inc(tags={**tags, "outcome": outcome})
        if not isinstance(event, Result):
            return
        usage, times = event.usage, event.timings
        for counter, amount in (
            (self._prompt, usage.prompt),
            (self._completion, usage.completion),
            (self._clips, times.clips),
            (self._cached, times.cached_clips or 0),
        ):
            if amount:
                counter.inc(amount, tags=tags)
        self._ttft.observe(times.ttft, tags=tags)
        self._queue.observe(times.queue, tags=tags)
        self._total.observe(times.total, tags=tags)
        if times.decode > 0 and usage.completion > 1:
            self._speed.observe((usage.completion - 1) / times.decode, tags=tags)

    def _tags(self, request: Request) -> dict[str, str]:
        return {"base": self._base, "tenant": request.tenant}


SPEEDS = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0]


class EngineMetrics:
    """What one engine holds now and did since its start; of a replica."""

    def __init__(self, base: str) -> None:
        self._base = base
        self._gauges = {
            name: Gauge(f"coat_engine_{name}", f"{words} of one engine.", ("base",)) for name, words in _HELD.items()
        }

    def show(self, stats: EngineStats | VllmStats) -> None:
        """Set every figure that this engine has."""
        found = {**asdict(stats), "adapters": len(stats.adapters)}
        for name in found.keys() & self._gauges.keys():
            self._gauges[name].set(found[name], tags={"base": self._base})


_HELD = {
    "waiting": "Requests that wait",
    "running": "Requests that run",
    "adapters": "Adapters in memory",
    "adapter_bytes": "Bytes of adapters",
    "heard_bytes": "Bytes of cached tower outputs",
    "adapter_loads": "Adapters loaded since the start",
    "adapter_evictions": "Adapters evicted since the start",
    "clips_encoded": "Clips the tower heard since the start",
    "clips_cached": "Clips found in the cache since the start",
}
"""Field of ``EngineStats`` -> in words."""
