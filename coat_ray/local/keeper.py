"""The process that keeps the platform of this machine: a Ray head, Ray Serve on it, until somebody ends it."""

from __future__ import annotations

import argparse
import json
import os
import signal
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from coat_ray.local.cluster import FAILED, ClusterError, LocalCluster, local_cluster
from coat_ray.local.platform import READY, PlatformStateError, state_folder
from coat_ray.provenance import git_label
from coat_ray.storage import atomic_write, home

CONFIG = Path("serve/config.yaml")
READY_S = 300


def main() -> None:
    """Keep the platform until somebody ends it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--cpus", type=int, help="logical CPUs of its Ray; default: what the machine has, at least six")
    parser.add_argument("--config", type=Path, default=CONFIG, help="what Ray Serve runs")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        _keep(arguments.port, arguments.cpus, arguments.config)
    except KeyboardInterrupt:
        say("ended")
    except (ClusterError, PlatformStateError) as error:
        say(str(error))
        raise SystemExit(1) from error


def _keep(port: int, cpus: int | None, config: Path) -> None:
    state, url = state_folder(), f"http://127.0.0.1:{port}"
    _check_free(url)
    variables = {"COAT_HOME": str(home()), "PYTHONPATH": str(Path.cwd())}
    variables["RAY_enable_metrics_collection"] = "1"  # for /metrics
    if commit := git_label(Path.cwd()):
        variables["COAT_GIT_COMMIT"] = commit
    say("starting a local Ray")
    with local_cluster(state, variables, cpus) as cluster:
        say("starting the API on Ray Serve")
        cluster.ray_serve_deploy(_rendered(config, state, port, url))
        _wait_until_it_answers(cluster, url)
        atomic_write(state / READY, json.dumps({"url": url, "pid": os.getpid()}))
        say(f"ready at {url}")
        try:
            while cluster.lives():
                time.sleep(1)
        finally:
            (state / READY).unlink(missing_ok=True)
    raise ClusterError(f"Ray has ended by itself; see {state / 'head.log'}")


def _rendered(file: Path, state: Path, port: int, url: str) -> Path:
    """A configuration of Ray Serve with this platform's port."""
    config = OmegaConf.load(file)
    config.http_options.port = port
    for application in config.applications:
        if "url" in application.get("args", {}):
            application.args.url = url
    rendered = state / "serve.yaml"
    atomic_write(rendered, OmegaConf.to_yaml(config))
    return rendered


def _check_free(url: str) -> None:
    try:
        with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - loopback
            pass
    except urllib.error.HTTPError:
        pass
    except OSError:
        return
    raise PlatformStateError(f"something answers at {url} already; choose another port with --port")


def _wait_until_it_answers(cluster: LocalCluster, url: str) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        with suppress(OSError):
            states = cluster.applications()
            for name, (status, said) in states.items():
                if status in FAILED:
                    raise ClusterError(f"Ray Serve cannot start {name}: {said}")
            running = bool(states) and all(status == "RUNNING" for status, _ in states.values())
            if running and _answers(f"{url}/healthz"):
                return
        if not cluster.lives():
            raise ClusterError("Ray ended while the API started")
        time.sleep(0.5)
    raise ClusterError(f"the API did not answer within {READY_S} s")


def _answers(url: str) -> bool:
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - loopback
        return bool(json.load(answer) == {"status": "ok"})


def say(message: str) -> None:
    """One line of progress."""
    print(f"[platform] {message}", flush=True)  # noqa: T201 - a command-line module


def _interrupt(_number: int, _frame: Any) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
