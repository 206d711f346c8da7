"""A private Ray head for one folder: start it, give it jobs and applications, stop it so that no process is left.

State lies in one folder (token, log, which head runs); Ray's own session lies in a short temporary folder, because the
path of its sockets must stay under 108 bytes. `ray stop` is never called: it ends every Ray of the machine.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from coat_ray.cluster import LIGHT, OBJECT_STORE_BYTES, logical_cpus, private_token
from coat_ray.processes import end, end_marked, spawn
from coat_ray.provenance import git_label
from coat_ray.storage import atomic_write, home

MARK = "COAT_CLUSTER"
"""Environment variable that every process of one head carries."""

START_SECONDS = 300
STOP_SECONDS = 20
RAY = (sys.executable, "-m", "ray.scripts.scripts")

PYDANTIC_PAGE = "For further information visit"

FAILED = ("DEPLOY_FAILED", "UNHEALTHY")
"""How Ray Serve calls an application or a deployment that does not run."""


class ClusterError(RuntimeError):
    """The local Ray or its job failed; the message says what to do."""


class LocalCluster:
    """The Ray head of one state folder. Use it through :func:`local_cluster`."""

    def __init__(self, state: Path, variables: Mapping[str, str] | None = None, cpus: int | None = None) -> None:
        """A head of *cpus* logical CPUs; *variables*: further environment of every one of its processes."""
        self.state = state
        self._variables, self._cpus = dict(variables or {}), cpus or logical_cpus()
        self.log = state / "head.log"
        self.mark = secrets.token_hex(8)
        self.url = ""
        self._temp = Path(tempfile.gettempdir()) / f"coat-{self.mark[:6]}"
        self._head: subprocess.Popen | None = None
        self._token = private_token(state)

    def start(self) -> None:
        """Start the head on free ports and wait until it takes jobs.

        Raises:
            ClusterError: Ray ended or did not answer in time; the message quotes its log.
        """
        self.clear_leftovers()
        port, agent, client = _free_ports(3)
        self.url = f"http://127.0.0.1:{port}"
        self._temp.mkdir(mode=0o700)
        atomic_write(self.state / "head.json", json.dumps({"mark": self.mark, "temp": str(self._temp)}))
        command = [
            *(*RAY, "start", "--head", "--block", "--port", "0", "--disable-usage-stats"),
            *("--include-dashboard", "true", "--dashboard-host", "127.0.0.1", "--dashboard-port", str(port)),
            *("--dashboard-agent-listen-port", str(agent), "--ray-client-server-port", str(client)),
            *("--min-worker-port", "0", "--max-worker-port", "0", "--temp-dir", str(self._temp)),
            *("--num-cpus", str(self._cpus), "--object-store-memory", str(OBJECT_STORE_BYTES)),
        ]
        with self.log.open("wb") as log:
            self._head = spawn(command, self._environment(), log)
        self._wait_until_ready()

    def submit(self, entrypoint: Sequence[str], folder: Path) -> None:
        """Submit a job as any user of a cluster would and follow its log to the end.

        Raises:
            ClusterError: the job failed.
        """
        job_env = {"COAT_HOME": str(home())}
        if commit := git_label(folder):
            job_env["COAT_GIT_COMMIT"] = commit
        options = ["--address", self.url, "--working-dir", str(folder), "--log-color", "false"]
        options += ["--runtime-env-json", json.dumps({"env_vars": job_env})]
        command = ["job", "submit", *options, "--", *entrypoint]
        say(f"ray {shlex.join(command)}")
        client = spawn([*RAY, *command], self._environment())
        try:
            code = client.wait()
        finally:
            end(client, STOP_SECONDS)
        if code:
            raise ClusterError("the job failed; what it said is above")

    def ray_serve_deploy(self, config: Path) -> None:
        """Give Ray Serve its configuration; the applications start in the background.

        Asked again a few times, because on a busy machine the part of Ray that takes it comes up, and drops
        connections, after the rest answers.

        Raises:
            ClusterError: Serve refuses it.
        """
        log = self.state / "deploy.log"
        for pause in (1, 3, 9, None):
            if self._deployed(config, log):
                return
            if pause is not None:
                time.sleep(pause)
        raise ClusterError(f"Ray Serve refuses {config}; the end of {log}:\n{_tail(log)}")

    def _deployed(self, config: Path, log: Path) -> bool:
        command = [sys.executable, "-m", "ray.serve.scripts", "deploy", "--address", self.url, str(config)]
        with log.open("wb") as file:
            client = spawn(command, self._environment(), file)
            try:
                return client.wait() == 0
            finally:
                end(client, STOP_SECONDS)

    def applications(self) -> dict[str, tuple[str, str]]:
        """Name -> what Ray Serve says of the application: its status, and the last line of why it is so."""
        found = self._ask("/api/serve/applications/")["applications"]
        return {name: (app["status"], _why(app)) for name, app in found.items()}

    def stop(self, *, keep_logs: bool) -> None:
        """End every process of this head and remove its session; with *keep_logs* Ray's logs are saved first."""
        if self._head:
            end(self._head, STOP_SECONDS)
        end_marked(MARK, self.mark)
        if keep_logs:
            self._save_logs()
        shutil.rmtree(self._temp, ignore_errors=True)
        (self.state / "head.json").unlink(missing_ok=True)

    def _environment(self) -> dict[str, str]:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
        path = os.pathsep.join([str(Path(sys.executable).parent), inherited.get("PATH", os.defpath)])
        ports = {"AUTOSCALER_METRIC_PORT": "0", "DASHBOARD_METRIC_PORT": "0"}
        ours = {"PATH": path, "PYTHONUNBUFFERED": "1", "RAY_API_SERVER_ADDRESS": self.url, MARK: self.mark}
        return {**inherited, **LIGHT, **self._token, **ports, **self._variables, **ours}

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if not self.lives():
                raise ClusterError(f"Ray ended while it started; the end of {self.log}:\n{_tail(self.log)}")
            with suppress(OSError):
                self._ask("/api/version")
                self._ask("/api/jobs/")  # comes up after the rest; until then a submission breaks off
                return
            time.sleep(0.3)
        raise ClusterError(f"Ray did not answer within {START_SECONDS} s; the end of {self.log}:\n{_tail(self.log)}")

    def lives(self) -> bool:
        """Whether the head runs."""
        return self._head is not None and self._head.poll() is None

    def _ask(self, path: str) -> Any:
        token = Path(self._token["RAY_AUTH_TOKEN_PATH"]).read_text()
        request = urllib.request.Request(f"{self.url}{path}", headers={"Authorization": f"Bearer {token}"})  # noqa: S310 - loopback
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - loopback
            return json.load(answer)

    def clear_leftovers(self) -> None:
        """End what a killed owner left behind; our lock says that no owner lives."""
        try:
            left = json.loads((self.state / "head.json").read_text())
        except (OSError, ValueError):
            return
        end_marked(MARK, left["mark"])
        shutil.rmtree(left["temp"], ignore_errors=True)

    def _save_logs(self) -> None:
        logs = self._temp / "session_latest" / "logs"
        if logs.is_dir():
            shutil.rmtree(self.state / "logs", ignore_errors=True)
            shutil.copytree(logs, self.state / "logs", ignore_dangling_symlinks=True)
            say(f"Ray's logs are kept in {self.state / 'logs'}")


def _why(application: Mapping[str, Any]) -> str:
    """The last line of what Serve says of a deployment that failed; the others may only wait for it.

    Of pydantic's errors the lines before its last one, which only names a page that explains the kind of error.
    """
    deployments = application["deployments"].values()
    failed = [each["message"] for each in deployments if each["status"] in FAILED and each["message"].strip()]
    said = failed or [application["message"], *(each["message"] for each in deployments)]
    lines = [line.strip() for message in said for line in message.splitlines() if line.strip()]
    if lines and lines[-1].startswith(PYDANTIC_PAGE):
        return ": ".join(lines[-3:-1])
    return lines[-1] if lines else ""


@contextmanager
def local_cluster(
    state: Path | None = None, variables: Mapping[str, str] | None = None, cpus: int | None = None
) -> Iterator[LocalCluster]:
    """A started :class:`LocalCluster` that is stopped at the end, whatever happens.

    Raises:
        ClusterError: Ray does not start, or another process runs a cluster with this state folder.
    """
    state = state or home() / "ray"
    state.mkdir(parents=True, exist_ok=True)
    keep_logs = False
    with _lock(state / "lock"):
        cluster = LocalCluster(state, variables, cpus)
        try:
            cluster.start()
            yield cluster
        except ClusterError:
            keep_logs = True
            raise
        finally:
            with _signals_held():
                cluster.stop(keep_logs=keep_logs)


def say(message: str) -> None:
    """One line about the cluster, apart from what the job prints."""
    print(f"[local ray] {message}", file=sys.stderr, flush=True)  # noqa: T201 - a command-line module


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            raise ClusterError(
                f"process {file.read().strip()} uses the local Ray of {path.parent}; wait for it or end it"
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


@contextmanager
def _signals_held() -> Iterator[None]:
    """Ignore a second Ctrl-C while processes are being ended."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _tail(path: Path, lines: int = 15) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
