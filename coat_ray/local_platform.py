"""The whole platform on this machine: a Ray of its own with the API on it, kept by one process in the background.

``coat up`` starts that process and ``coat down`` ends it. What is kept lies in ``$COAT_HOME``: the database, what the
tenants made, and under ``platform/`` Ray's token, logs and the keeper's own files. Started again, the platform goes on
from there: runs whose jobs ended with it wait in the queue and continue from their checkpoints.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from coat_ray.local_cluster import ClusterError, LocalCluster, local_cluster
from coat_ray.provenance import git_label
from coat_ray.storage import atomic_write, home

CONFIG = Path("serve/config.yaml")
READY_S = 300
STOP_S = 90


class PlatformStateError(RuntimeError):
    """The platform of this folder cannot be started or ended; the message says why."""


def state_folder() -> Path:
    """Where the keeper's files lie."""
    return home() / "platform"


def keeper() -> int | None:
    """The process that keeps the platform of this folder, None where none does."""
    with suppress(FileNotFoundError), (state_folder() / "lock").open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return int(file.read())
    return None


def address() -> str | None:
    """Where the API of the running platform is, None while it is not ready."""
    with suppress(OSError, ValueError):
        return str(json.loads((state_folder() / "ready.json").read_text())["url"])
    return None


def start(root: Path, port: int, cpus: int | None, show: Callable[[str], None]) -> str:
    """Start the platform from the repository at *root* and wait until its API answers; gives its address.

    Raises:
        PlatformStateError: it does not start; the message quotes its log.
    """
    state = state_folder()
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    (state / "ready.json").unlink(missing_ok=True)
    command = [sys.executable, "-m", "coat_ray.local_platform", "--port", str(port)]
    command += ["--cpus", str(cpus)] if cpus else []
    log = state / "platform.log"
    with log.open("wb") as file:
        process = subprocess.Popen(  # noqa: S603 - fixed command
            command,
            cwd=root,
            env={**os.environ, "COAT_HOME": str(home())},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _show_until(lambda: address() is not None or process.poll() is not None, log, show)
    except BaseException:
        process.terminate()
        process.wait(STOP_S)
        raise
    url = address()
    if url is None:
        raise PlatformStateError(f"the platform did not start; what it said is above and in {log}")
    return url


def _show_until(ended: Callable[[], bool], log: Path, show: Callable[[str], None]) -> None:
    """Show a log as it grows."""
    said = 0
    while True:
        last = ended()
        lines = log.read_text(errors="replace").splitlines()
        for line in lines[said:]:
            show(line)
        said = len(lines)
        if last:
            return
        time.sleep(0.2)


def stop(show: Callable[[str], None]) -> bool:
    """End the platform of this folder with all its processes; False where there was nothing to end.

    Raises:
        PlatformStateError: it has not ended in time.
    """
    pid = keeper()
    if pid is None:
        return _clear()
    show(f"ending the platform (process {pid}) and its jobs; their runs go on at the next start")
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_S
    while keeper() is not None:
        if time.monotonic() > deadline:
            raise PlatformStateError(f"process {pid} has not ended within {STOP_S} s; see {state_folder()}")
        time.sleep(0.1)
    return True


def _clear() -> bool:
    """End what a keeper that was killed left behind."""
    if not (state_folder() / "head.json").exists():
        return False
    LocalCluster(state_folder()).clear_leftovers()
    return True


def main() -> None:
    """Keep the platform until somebody ends it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--cpus", type=int, help="logical CPUs of its Ray; default: what the machine has, at least six")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        _keep(arguments.port, arguments.cpus)
    except KeyboardInterrupt:
        say("ended")
    except (ClusterError, PlatformStateError) as error:
        say(str(error))
        raise SystemExit(1) from error


def _keep(port: int, cpus: int | None) -> None:
    state, url = state_folder(), f"http://127.0.0.1:{port}"
    _check_free(url)
    variables = {"COAT_HOME": str(home()), "PYTHONPATH": str(Path.cwd())}
    if commit := git_label(Path.cwd()):
        variables["COAT_GIT_COMMIT"] = commit
    say("starting a local Ray")
    with local_cluster(state, variables, cpus) as cluster:
        say("starting the API on Ray Serve")
        cluster.ray_serve_deploy(_rendered(state, port, url))
        _wait_until_it_answers(cluster, url)
        atomic_write(state / "ready.json", json.dumps({"url": url, "pid": os.getpid()}))
        say(f"ready at {url}")
        try:
            while cluster.lives():
                time.sleep(1)
        finally:
            (state / "ready.json").unlink(missing_ok=True)
    raise ClusterError(f"Ray has ended by itself; see {state / 'head.log'}")


def _rendered(state: Path, port: int, url: str) -> Path:
    """The shipped configuration of Ray Serve with this platform's port."""
    config = OmegaConf.load(CONFIG)
    config.http_options.port = port
    config.applications[0].args.url = url
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
        with suppress(OSError), urllib.request.urlopen(f"{url}/healthz", timeout=5) as answer:  # noqa: S310 - loopback
            if json.load(answer) == {"status": "ok"}:
                return
        if not cluster.lives():
            raise ClusterError("Ray ended while the API started")
        with suppress(OSError):
            for name, message in cluster.failed_applications().items():
                raise ClusterError(f"Ray Serve cannot start {name}: {message}")
        time.sleep(0.5)
    raise ClusterError(f"the API did not answer within {READY_S} s")


def say(message: str) -> None:
    """One line of progress."""
    print(f"[platform] {message}", flush=True)  # noqa: T201 - a command-line module


def _interrupt(_number: int, _frame: Any) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
