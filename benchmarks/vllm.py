"""The same load on both engines: requests per second and time to the first token, vLLM's divided by ours.

    .venv/bin/python -m benchmarks.vllm [--requests 48] [--at 1 4 16]

The embedded base and four adapters of random weights on it, which talk on to their last token; clips of 1 to 3 s, each
asked about once, so that no cache helps. Callers in threads ask the engine in this process, without HTTP, each one
question after the other. vLLM runs in ``.venv-vllm`` (``make vllm-env``), in processes of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
import torch

from benchmarks.measure import Line, apart, show
from coat_ray.config import BackboneConfig, LoraSection, RunConfig, StageConfig
from coat_ray.inference.engine import Engine
from coat_ray.inference.requests import AdapterSource, Request, Sampling
from coat_ray.inference.vllm.engine import VllmEngine
from coat_ray.inference.vllm.limits import VllmLimits
from coat_ray.model.backbones import load_backbone
from coat_ray.model.coat import CoatModel

ROOT = Path(__file__).parents[1]
VLLM_PYTHON = ROOT / ".venv-vllm" / "bin" / "python"
ADAPTERS, TOKENS = 4, 24
RANK: Final = 16


def make_models(folder: Path) -> None:
    """A base that does not end its answers, and adapters whose answers differ."""
    base = load_backbone(BackboneConfig())
    with torch.no_grad():
        base.lm_head.weight[base.front.end_of_turn_id] = 0
    base.hf.save_pretrained(folder / "base")
    base.front.save(folder / "base")
    stages = (StageConfig(name="one", steps=1),)
    backbone = BackboneConfig(weights=str(folder / "base"))
    for number in range(ADAPTERS):
        config = RunConfig(
            name="bench", seed=number, backbone=backbone, lora=LoraSection(rank=RANK, alpha=2 * RANK), stages=stages
        )
        model = CoatModel.create(config, block=True, specs={})
        with torch.no_grad():
            for group, members in model.trainable_parameters().items():
                for name, parameter in members:
                    if group == "tokens" or "lora_B" in name:
                        parameter.normal_(std=0.3 if group == "tokens" else 0.1)
        model.save_adapter(folder / f"adapter{number}")


def load(folder: Path, count: int, seed: int) -> list[Request]:
    """Questions in turn to the base and to each adapter."""
    rng = np.random.default_rng(seed)
    sources = [None, *(AdapterSource(f"a{i}", folder / f"adapter{i}") for i in range(ADAPTERS))]
    requests = []
    for number in range(count):
        clip = (0.1 * rng.standard_normal(int(16_000 * rng.uniform(1, 3)))).astype(np.float32)
        messages = [{"role": "user", "content": "<audio>\nwhat sound is heard?"}]
        requests.append(Request(messages, [clip], sources[number % len(sources)], sampling=Sampling(TOKENS)))
    return requests


def measure(engine: Engine | VllmEngine, folder: Path, count: int, callers: Sequence[int]) -> list[dict[str, Any]]:
    """Per number of callers: requests per second, median and 95th percentile of the seconds to the first token."""
    found = []
    for request in load(folder, 10, seed=1):  # adapters are loaded, kernels chosen
        engine.submit(request).result()
    for together in callers:
        requests = load(folder, count, seed=100 + together)
        start = time.perf_counter()
        with ThreadPoolExecutor(together) as threads:
            results = list(threads.map(lambda request: engine.submit(request).result(), requests))
        seconds = time.perf_counter() - start
        ttft = sorted(result.timings.ttft for result in results)
        found.append(
            {
                "rate": count / seconds,
                "ttft": median(ttft),
                "ttft95": ttft[int(0.95 * (len(ttft) - 1))],
                "tokens": [list(result.tokens) for result in results],
            }
        )
    return found


def on_transformers(folder: Path, count: int, callers: Sequence[int]) -> list[dict[str, Any]]:
    """In this environment."""
    with Engine.open(BackboneConfig(weights=str(folder / "base"))) as engine:
        return measure(engine, folder, count, callers)


def on_vllm(folder: Path, count: int, callers: Sequence[int]) -> list[dict[str, Any]]:
    """In the environment that has vLLM."""
    command = [str(VLLM_PYTHON), "-m", "benchmarks.vllm", "--requests", str(count), "--at", *map(str, callers)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([*command, "--models", str(folder)], cwd=ROOT, env=environment, check=True)  # noqa: S603 - our own file
    found: list[dict[str, Any]] = json.loads((folder / "vllm.json").read_text())
    return found


def compare(folder: Path, count: int, callers: Sequence[int]) -> list[Line]:
    """Both engines, one after the other."""
    make_models(folder)
    ours, theirs = apart(on_transformers, folder, count, callers), on_vllm(folder, count, callers)
    lines = []
    for together, mine, other in zip(callers, ours, theirs, strict=True):
        equal = sum(a == b for a, b in zip(mine["tokens"], other["tokens"], strict=True))
        rate = f"{other['rate'] / mine['rate']:.2f} ({other['rate']:.2f} and {mine['rate']:.2f})"
        ttft = f"{other['ttft'] / mine['ttft']:.2f}, p95 {other['ttft95'] / mine['ttft95']:.2f}"
        lines += [
            Line(f"{together} at a time: requests/s, vLLM ÷ ours", rate, ""),
            Line(f"{together} at a time: median seconds to the first token, vLLM ÷ ours", ttft, ""),
            Line(f"{together} at a time: equal greedy answers", f"{equal} of {count}", f"{count}"),
        ]
    return lines


def main() -> None:
    """Compare; with ``--models`` measure vLLM alone, which is how the comparison calls this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=48, help="for each number of callers")
    parser.add_argument("--at", type=int, nargs="+", default=[1, 4, 16], help="numbers of callers")
    parser.add_argument("--models", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.models:
        config = BackboneConfig(weights=str(arguments.models / "base"))
        with VllmEngine(config, VllmLimits(adapters=ADAPTERS, lora_rank=RANK)) as engine:
            found = measure(engine, arguments.models, arguments.requests, arguments.at)
        (arguments.models / "vllm.json").write_text(json.dumps(found))
        return
    if not VLLM_PYTHON.exists():
        sys.exit("there is no .venv-vllm here: make vllm-env")
    show("two engines", ["both"], {"both": compare}, arguments.requests, arguments.at)


if __name__ == "__main__":
    main()
