"""What a sweep costs and survives: ``python -m benchmarks.sweeps [--only NAME …] [--trials 16] [--steps 80]``.

Real trainings of the embedded model, two one-worker trials at a time, in sweeps of learning rates:

- ``overhead``: the same trials through Ray Tune, and by hand (each in a process of its own, two at a time);
- ``stopping``: early stopping (ASHA) against running everything: the best point, and the steps that were trained;
- ``kills``: a sweep whose driver, a worker and Ray's node are killed at random moments, and the one left in peace.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.measure import Line, show
from benchmarks.own_platform import ROOT
from sweeps.results import TrialResult, read_results

SEED = 0
OVERHEAD_TRIALS = 6
VICTIMS = ("sweeps/run.py", "ray::RayTrainWorker", "raylet/raylet")
"""The driver, a process that trains, the node: one dies at each kill."""

MEASURED = {"step_seconds", "seconds"}
"""What no two runs have in common."""


@dataclass(frozen=True)
class Options:
    """How much is trained."""

    trials: int
    steps: int


@dataclass(frozen=True)
class Sweep:
    """A sweep in a home of its own."""

    folder: Path
    options: Options
    stopping: bool = False

    @property
    def file(self) -> Path:
        """Its configuration; as JSON, which is YAML."""
        first = self.options.steps // 4
        config: dict[str, Any] = {
            "name": "bench",
            "run": "jobs/configs/embedded.yaml",
            "set": [
                "arms=[sft]",
                f"stages.0.steps={first}",
                f"stages.1.steps={self.options.steps - first}",
                "training.checkpoint_every=20",
                "resources.train_workers=1",
            ],
            "space": {"optim.lr": {"log_uniform": [1e-5, 3e-2]}},
            "search": {"algorithm": "random", "trials": self.options.trials, "seed": SEED},
            "resources": {"concurrency": 2},
        }
        if self.stopping:
            config["stopping"] = {"kind": "asha", "rungs": [0.25, 0.5], "reduction": 4}
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "sweep.yaml"
        path.write_text(json.dumps(config))
        return path

    def command(self, *script: str) -> list[str]:
        """Run a script on a Ray of its own."""
        return [sys.executable, "-m", "coat_ray.local.job", "python", *script]

    @property
    def environment(self) -> dict[str, str]:
        """Its home."""
        outside = {name: value for name, value in os.environ.items() if not name.startswith("COAT_")}
        return {**outside, "COAT_HOME": str(self.folder / "home"), "OMP_NUM_THREADS": "1"}

    @contextmanager
    def begun(self) -> Iterator[subprocess.Popen[bytes]]:
        """While it runs; its output is kept beside it."""
        with (self.folder.with_suffix(".log")).open("ab") as log:
            command = self.command("sweeps/run.py", "--config", str(self.file))
            process = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=log, stderr=log)  # noqa: S603
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.send_signal(signal.SIGINT)
                process.wait()

    def run(self) -> list[TrialResult]:
        """Run it to its end.

        Raises:
            RuntimeError: it failed.
        """
        with self.begun() as process:
            code = process.wait()
        if code:
            raise RuntimeError(f"the sweep ended with {code}: {self.folder.with_suffix('.log').read_text()[-4000:]}")
        [found] = self.folder.glob("home/sweeps/*/trials.jsonl")
        return read_results(found)

    def ended(self) -> int:
        """How many of its trials have ended."""
        return len(list(self.folder.glob("home/sweeps/*/trials/*/result.json")))

    def processes(self, name: str) -> list[psutil.Process]:
        """Its processes whose command line has a name in it."""
        found = []
        for process in psutil.process_iter():
            try:
                mine = process.environ().get("COAT_HOME") == self.environment["COAT_HOME"]
                if mine and name in " ".join(process.cmdline()) and "coat_ray.local.job" not in process.cmdline():
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found


def overhead(folder: Path, options: Options) -> list[Line]:
    """Seconds of the same trials through Tune and by hand, without the start of Ray."""
    sweep = Sweep(folder / "overhead", Options(OVERHEAD_TRIALS, options.steps))
    answer = folder / "overhead.json"
    command = sweep.command("-m", "benchmarks.sweep_sides", str(sweep.file), str(answer))
    environment = sweep.environment | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise RuntimeError(f"{done.stdout}{done.stderr}"[-4000:])
    times: dict[str, float] = json.loads(answer.read_text())
    said = (
        f"{times['tune'] / times['hand']:.3f} ({times['tune']:.0f} s / {times['hand']:.0f} s, {OVERHEAD_TRIALS} trials)"
    )
    return [Line("time of a sweep / of the same trials by hand", said, "<= 1.15")]


def stopping(folder: Path, options: Options) -> list[Line]:
    """The best point and the trained steps of a sweep with early stopping and of one without."""
    everything, asha = _undisturbed(folder, options), Sweep(folder / "asha", options, stopping=True).run()
    steps = sum(trial.steps for trial in asha) / sum(trial.steps for trial in everything)
    same = _best(asha).point == _best(everything).point
    place = _ranked(everything).index(_best(asha).point) + 1
    return [
        Line(
            "best point with early stopping", "the same" if same else f"number {place} of {len(everything)}", "the same"
        ),
        Line("trained steps, with early stopping / without", f"{steps:.2f}", "<= 0.50"),
    ]


def kills(folder: Path, options: Options) -> list[Line]:
    """Kill a sweep three times, each time another part of it; compare its table with that of the one left in peace."""
    expected, sweep = _undisturbed(folder, options), Sweep(folder / "killed", options)
    draw = random.Random(SEED)
    moments = sorted(draw.sample(range(1, options.trials - 1), len(VICTIMS)))
    died = []
    for victim, ended in zip(VICTIMS, moments, strict=True):
        died.append(f"{victim.rpartition('/')[2].rpartition('::')[2]} after {ended} trials")
        _kill(sweep, victim, ended, pause=draw.uniform(0, 10))
    found = sweep.run()
    same = [_table(trial) for trial in found] == [_table(trial) for trial in expected]
    return [
        Line(f"table of {len(found)} trials after three kills", "the same" if same else "another", "the same"),
        Line("killed", ", ".join(died), "-"),
    ]


def _kill(sweep: Sweep, victim: str, ended: int, pause: float) -> None:
    """Kill a part of a sweep a while after so many trials have ended; end what then hangs, as one would with Ctrl-C."""
    with sweep.begun() as process:
        while process.poll() is None and sweep.ended() < ended:
            time.sleep(0.5)
        time.sleep(pause)
        while process.poll() is None and not sweep.processes(victim):
            time.sleep(0.5)
        for found in sweep.processes(victim)[:1]:
            found.kill()
        deadline = time.monotonic() + 60  # a sweep goes on without one of its workers
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.2)


@functools.cache
def _undisturbed(folder: Path, options: Options) -> list[TrialResult]:
    """The sweep that is left in peace and runs everything, once for all measurements."""
    return Sweep(folder / "everything", options).run()


def _table(trial: TrialResult) -> dict[str, Any]:
    return trial.model_dump(mode="json", exclude=MEASURED)


def _ranked(trials: Sequence[TrialResult]) -> list[str]:
    done = [trial for trial in trials if trial.state == "done" and trial.score is not None]
    return [trial.point for trial in sorted(done, key=lambda trial: (-(trial.score or 0.0), trial.trial))]


def _best(trials: Sequence[TrialResult]) -> TrialResult:
    return next(trial for trial in trials if trial.point == _ranked(trials)[0])


MEASUREMENTS: dict[str, Callable[[Path, Options], list[Line]]] = {
    "overhead": overhead,
    "stopping": stopping,
    "kills": kills,
}


def main() -> None:
    """Run the chosen measurements and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=list(MEASUREMENTS), default=list(MEASUREMENTS))
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--steps", type=int, default=80)
    arguments = parser.parse_args()
    show("sweeps", arguments.only, MEASUREMENTS, Options(arguments.trials, arguments.steps))


if __name__ == "__main__":
    main()
