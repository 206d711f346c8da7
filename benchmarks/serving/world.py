"""A platform of its own that hosts a talkative base and eight adapters of four teams, and clients that ask it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openai
import psutil
from omegaconf import OmegaConf

from benchmarks.hosted import about, add_adapters, noise, talkative_base
from benchmarks.own_platform import ROOT, OwnPlatform
from coat_ray.config import BackboneConfig
from coat_ray.storage import Storage

TEAMS = ("bass", "alto", "tenor", "treble")
ADAPTERS = {team: {"one": 2 * i + 1, "two": 2 * i + 2} for i, team in enumerate(TEAMS)}
NAMES = [f"base:{team}/{name}@1" for team, names in ADAPTERS.items() for name in names]
CPUS = 6


@dataclass(frozen=True)
class Asked:
    """One request: which model, about which clip, how."""

    model: str = "base"
    seed: int = 0
    seconds: float = 1.0
    tokens: int = 24
    mode: str = "block"
    stream: bool = True


@dataclass
class Said:
    """What a client saw: text, seconds to the first piece and to the end, the server's own timings."""

    text: str = ""
    ttft: float = 0.0
    total: float = 0.0
    complete: bool = False
    timings: dict[str, float] = field(default_factory=dict)
    problem: str = ""


@dataclass
class World:
    """The platform, its teams' clients, its base."""

    platform: OwnPlatform
    base: BackboneConfig
    clients: dict[str, openai.OpenAI]

    def ask(self, asked: Asked) -> Said:
        """One question, without a second try."""
        team = asked.model.partition(":")[2].partition("/")[0] or TEAMS[0]
        question: Any = {
            "model": asked.model,
            "messages": about(noise(asked.seed, asked.seconds)),
            "max_tokens": asked.tokens,
            "stream": asked.stream,
            "extra_body": {"coat": {"mode": asked.mode, "timings": True}},
        }
        said, began = Said(), time.perf_counter()
        try:
            answer = self.clients[team].chat.completions.create(**question)
            if asked.stream:
                for chunk in answer:
                    self._take(chunk, said, began)
            else:
                said.text, said.timings, said.complete = answer.choices[0].message.content, answer.coat["timings"], True
        except openai.OpenAIError as problem:
            said.problem = f"{type(problem).__name__}: {problem}"
        said.total = time.perf_counter() - began
        return said

    @staticmethod
    def _take(chunk: Any, said: Said, began: float) -> None:
        choice = chunk.choices[0]
        text = choice.delta.content or getattr(choice.delta, "reasoning_content", None) or ""
        if text and not said.ttft:
            said.ttft = time.perf_counter() - began
        said.text += choice.delta.content or ""
        if choice.finish_reason is not None:
            said.complete, said.timings = True, chunk.coat["timings"]

    def ask_all(self, questions: Sequence[Asked], at_once: int) -> tuple[list[Said], float]:
        """Answers in order, so many at a time, and the seconds that all of them took.

        Raises:
            RuntimeError: one of them failed.
        """
        began = time.perf_counter()
        with ThreadPoolExecutor(at_once) as threads:
            said = list(threads.map(self.ask, questions))
        seconds = time.perf_counter() - began
        if problems := [one.problem for one in said if one.problem]:
            raise RuntimeError(f"{len(problems)} of {len(said)} requests failed: {problems[0]}")
        return said, seconds

    def engines(self) -> list[psutil.Process]:
        """The engine's replicas of this platform."""
        found = []
        for process in psutil.process_iter():
            try:
                mine = process.environ().get("COAT_HOME") == str(self.platform.home)
                if mine and "ServeReplica:models:engine" in " ".join(process.cmdline()):
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found

    def kill_an_engine(self) -> None:
        """End one replica without a word."""
        os.kill(self.engines()[0].pid, signal.SIGKILL)


@contextmanager
def world(folder: Path, engines: int = 1) -> Iterator[World]:
    """The platform with so many replicas of the engine, asked once before it is measured."""
    base = talkative_base(folder / "talkative")
    platform = OwnPlatform(folder / "home", CPUS, config=_config(folder, base, engines))
    storage = Storage(platform.home)
    try:
        platform.up()
        clients = {}
        for team in TEAMS:
            platform.team(team)
            add_adapters(storage, team, ADAPTERS[team], base)
            clients[team] = openai.OpenAI(
                base_url=f"{platform.url}/v1", api_key=platform.keys[team], max_retries=0, timeout=600
            )
        made = World(platform, base, clients)
        made.ask_all([Asked(seed=10**6 + i) for i in range(4 * engines)], 2 * engines)
        yield made
    finally:
        platform.coat("down")


def _config(folder: Path, base: BackboneConfig, engines: int) -> Path:
    """The shipped configuration with this base and a fixed number of replicas."""
    config = OmegaConf.load(ROOT / "serve" / "config.yaml")
    [models] = [app for app in config.applications if app.name == "models"]
    models.args.backbone = base.model_dump()
    [engine] = [one for one in models.deployments if one.name == "engine"]
    engine.autoscaling_config.update({"min_replicas": engines, "max_replicas": engines})
    file = folder / f"serve-{engines}.yaml"
    OmegaConf.save(config, file)
    return file
