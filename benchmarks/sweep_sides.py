"""Both sides of a sweep's overhead, on a Ray that runs: ``python -m benchmarks.sweep_sides SWEEP.yaml ANSWER.json``."""

from __future__ import annotations

import functools
import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from coat_ray.cluster import connect
from coat_ray.config import SweepConfig, load_config
from coat_ray.storage import Storage

AT_A_TIME = 2


def main() -> None:
    """Measure one after the other: a trial that is not counted, by hand, through Tune."""
    sweep, answer = load_config(Path(sys.argv[1]), SweepConfig), Path(sys.argv[2])
    home = Storage.default().root
    with connect(dashboard=True):
        _by_hand(sweep, home / "first", most=1)
        times = {}
        for name, side in (("hand", _by_hand), ("tune", _through_tune)):
            began = time.monotonic()
            side(sweep, home / name)
            times[name] = time.monotonic() - began
    answer.write_text(json.dumps(times))


def _by_hand(sweep: SweepConfig, home: Path, most: int | None = None) -> None:
    """Each trial in a process of its own, so many at a time, one after the other."""
    import ray  # noqa: PLC0415 - reads its environment when it is imported

    from sweeps.search import trials_of  # noqa: PLC0415
    from sweeps.trial import Ready, Setting, run_trial  # noqa: PLC0415

    @contextmanager
    def at_once() -> Iterator[threading.Event]:
        yield threading.Event()

    @ray.remote(num_cpus=0, max_calls=1)
    def work(trial: Any) -> None:
        run_trial(trial, Setting(Ready({}, ()), Storage(home), home / trial.name, at_once), lambda *_: None)

    trials = list(trials_of(sweep, home).examples)[:most]
    running: list[Any] = []
    for trial in trials:
        if len(running) == AT_A_TIME:
            ended, running = ray.wait(running)
            ray.get(ended)
        running.append(work.remote(trial))
    ray.get(running)


def _through_tune(sweep: SweepConfig, home: Path) -> None:
    """As a sweep runs them."""
    from sweeps.places import SharedPlaces  # noqa: PLC0415 - brings Ray
    from sweeps.search import trials_of  # noqa: PLC0415
    from sweeps.targets import Targets  # noqa: PLC0415
    from sweeps.tuning import Work, tune_trials  # noqa: PLC0415

    work = Work(trials_of(sweep, home), Targets({}, ()), Storage(home), home / "sweep", SharedPlaces(AT_A_TIME))
    tune_trials(work, AT_A_TIME, sweep.objective, sweep.stopping, functools.partial(print, flush=True))


if __name__ == "__main__":
    main()
