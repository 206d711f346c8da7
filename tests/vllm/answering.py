"""Run by the tests in the environment that has vLLM: ``python -m tests.vllm.answering FOLDER``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from coat_ray.config import BackboneConfig
from coat_ray.inference.requests import AdapterSource
from coat_ray.inference.vllm.engine import VllmEngine
from coat_ray.inference.vllm.limits import VllmLimits
from tests.inference.made import ask, clip
from tests.vllm.asks import MAX_TOKENS, RANKS, asks, told


def why(function: Callable[[], Any]) -> str:
    """The kind of what a call raises, and its sentence."""
    try:
        function()
    except Exception as error:  # noqa: BLE001 - the tests say which it must be
        return f"{type(error).__name__}: {error}"
    return "nothing"


def broken_listener(_: object) -> None:
    """A client that went away."""
    raise ConnectionResetError


def many(folder: Path) -> dict[str, Any]:
    """One base with room for two adapters, of which three are asked at once."""
    sources = [AdapterSource(f"a{i}", folder / "adapters" / f"a{i}") for i in range(len(RANKS) + 1)]
    broken = AdapterSource("broken", folder / "adapters" / "broken")
    config = BackboneConfig(weights=str(folder / "base"))
    with VllmEngine(config, VllmLimits(rows=8, waiting=16, adapters=2, clips=2, prefix_cache=True)) as engine:
        handles = {name: engine.submit(request) for name, request in asks(sources[:-1]).items()}
        found: dict[str, Any] = {"answers": {name: told(handle) for name, handle in handles.items()}}
        found["stats"] = vars(engine.stats())
        gone = engine.submit(ask(sources[0], 0, max_tokens=2000))
        next(iter(gone))
        gone.cancel()
        drawn = [engine.submit(ask(sources[1], 0, max_tokens=8, temperature=1.0, seed=s)) for s in (1, 1, 2)]
        found["drawn"] = [told(handle)["tokens"] for handle in drawn]
        timings = engine.submit(ask(sources[1], 2, max_tokens=3)).result(600).timings
        found["timings"] = vars(timings)
        found["why"] = {
            "cancelled": why(lambda: gone.result(600)),
            "deaf": why(lambda: engine.submit(ask(sources[0], 1, max_tokens=2000), broken_listener).result(600)),
            "thinking": why(lambda: engine.submit(ask(sources[0], thinking_columns=4))),
            "clips": why(lambda: engine.submit(ask(clips=[clip(0)] * 3))),
            "rank": why(lambda: engine.submit(ask(sources[-1])).result(600)),
            "broken": why(lambda: engine.submit(ask(broken)).result(600)),
            "base": why(lambda: engine.submit(ask(AdapterSource("b", broken.folder, {"weights": "embedded"})))),
        }
        found["after"] = told(engine.submit(ask(sources[2], 0, max_tokens=MAX_TOKENS)))
        last = engine.submit(ask(None, 0, max_tokens=4))
        found["drained"] = [engine.drain(600), last.done, engine.alive]
        found["why"]["drained"] = why(lambda: engine.submit(ask()))
    return found


def merged(folder: Path) -> dict[str, Any]:
    """An exported model that answers alone."""
    config = BackboneConfig(weights=str(folder / "merged"))
    with VllmEngine(config, VllmLimits(rows=4)) as engine:
        answers = [told(engine.submit(ask(None, c, max_tokens=MAX_TOKENS))) for c in (0, 1)]
        refused = why(lambda: engine.submit(ask(AdapterSource("a1", folder / "adapters" / "a1"))))
    return {"answers": answers, "why": refused}


def main() -> None:
    """Answer what both engines are asked, and write it beside the models."""
    folder = Path(sys.argv[1])
    found = {"many": many(folder), "merged": merged(folder)}
    (folder / "vllm.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
