"""A platform in a home of its own, used through `coat` and the API as people use it: for measurements and tests."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coat_ray.client import Client

ROOT = Path(__file__).resolve().parent.parent
KEY = re.compile(r"coat_[a-z0-9]{8}_[\w-]{43}")
RUN_CPUS = 2
"""What a run of :func:`small_run` takes: one worker, and one CPU for Ray's own."""


@dataclass
class OwnPlatform:
    """Commands of one home; *cpus* are shared out, whatever the machine has; *config* is what Ray Serve runs."""

    home: Path
    cpus: int
    config: Path = ROOT / "serve" / "config.yaml"
    keys: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    @property
    def url(self) -> str:
        """Where the API is."""
        return f"http://127.0.0.1:{self.port}"

    def coat(self, *arguments: str, key: str | None = None) -> str:
        """Run `coat` in this home, as the owner of the platform or as whoever has the *key*; gives what it printed.

        A platform, key or database that the shell names is not this one's.

        Raises:
            RuntimeError: it failed.
        """
        outside = {name: value for name, value in os.environ.items() if not name.startswith("COAT_")}
        environment = {**outside, "COAT_HOME": str(self.home), "OMP_NUM_THREADS": "1"}
        environment |= {"COAT_API_KEY": key} if key else {}
        command = [sys.executable, "-m", "coat_ray.cli", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            raise RuntimeError(f"coat {' '.join(arguments)} failed: {done.stdout}{done.stderr}")
        return done.stdout

    def up(self) -> str:
        """Start it."""
        return self.coat("up", "--port", str(self.port), "--cpus", str(self.cpus), "--config", str(self.config))

    def team(self, name: str, *options: str) -> Client:
        """Make a tenant; gives a client with its first key."""
        [self.keys[name]] = KEY.findall(self.coat("tenants", "create", name, *options))
        return Client.open(self.url, self.keys[name])

    def owner(self) -> Client:
        """A client with a further key of the platform's owner."""
        [key] = KEY.findall(self.coat("keys", "create", "--role", "owner"))
        return Client.open(self.url, key)


def small_run(name: str, seed: int, steps: int) -> dict[str, Any]:
    """A real training of the embedded model on the embedded corpus, without experts and comparison."""
    return {
        "name": name,
        "seed": seed,
        "arms": ["sft"],
        "stages": [{"name": "only", "steps": steps}],
        "training": {"batch_rows": 4, "checkpoint_every": 20, "log_every": 5},
        "resources": {"train_workers": 1},
        "evaluation": {"compare": False},
    }
