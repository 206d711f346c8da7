"""A private Postgres from the binaries of the system: a socket in a folder, no network, gone at the end."""

import getpass
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from coat_ray.processes import end

QUICK = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=60", "shared_buffers=16MB")


@dataclass(frozen=True)
class PostgresServer:
    """A server that runs; it trusts everybody who reaches its socket."""

    folder: Path
    user: str

    def url(self, database: str) -> str:
        return f"postgresql://{self.user}@/{database}?host={self.folder}"

    def create_database(self) -> str:
        """The URL of a new, empty database."""
        name = f"coat_{secrets.token_hex(6)}"
        self.execute(self.url("postgres"), f"CREATE DATABASE {name}")
        return self.url(name)

    def execute(self, url: str, statement: str) -> None:
        import psycopg

        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(statement)


@contextmanager
def serve_postgres() -> Iterator[PostgresServer]:
    """Start a server, or skip and say what is missing."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'coat-ray[postgres]'")
    binaries = _binaries()
    user = _user()
    # Not pytest's folder: only its owner may enter that one, and a socket's path must be short.
    folder = Path(tempfile.mkdtemp(prefix="coat-pg-"))
    try:
        shutil.chown(folder, user)
        data = folder / "data"
        initialise = [binaries / "initdb", "-D", data, "-U", user, "-A", "trust", "-E", "UTF8", "--locale=C", "-N"]
        subprocess.run(_as(user, initialise), cwd=folder, check=True, capture_output=True)
        options = [part for setting in QUICK for part in ("-c", setting)]
        command = [binaries / "postgres", "-D", data, "-k", folder, "-c", "listen_addresses=", *options]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(_as(user, command), cwd=folder, stdout=log, stderr=log)
        try:
            running = PostgresServer(folder, user)
            _wait(running, server)
            yield running
        finally:
            server.send_signal(signal.SIGQUIT)  # at once, without writing down what nobody reads again
            end(server, seconds=10)
    finally:
        shutil.rmtree(folder)


def _binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    found += [Path(place) for place in [shutil.which("initdb")] if place]
    if not found:
        pytest.skip("Postgres is not installed; on Debian and Ubuntu: apt install postgresql")
    return found[-1].resolve().parent


def _user() -> str:
    """Postgres refuses to run as root."""
    if os.getuid() != 0:
        return getpass.getuser()
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        return "nobody"


def _as(user: str, command: list[str | Path]) -> list[str | Path]:
    """The command as another user, ended by the kernel when we are: nothing stays behind a killed test run."""
    if os.getuid() != 0 or sys.platform != "linux":
        return command
    identity = ["--reuid", user, "--regid", str(pwd.getpwnam(user).pw_gid), "--clear-groups"]
    return ["setpriv", *identity, "--pdeathsig", "INT", *command]


def _wait(running: PostgresServer, server: subprocess.Popen) -> None:
    import psycopg

    deadline = time.monotonic() + 60
    while True:
        try:
            return running.execute(running.url("postgres"), "SELECT 1")
        except psycopg.OperationalError:
            log = (running.folder / "log").read_text()
            assert server.poll() is None, f"Postgres did not start: {log}"
            assert time.monotonic() < deadline, f"Postgres did not answer: {log}"
            time.sleep(0.05)
