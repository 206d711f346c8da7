"""Following a run of the platform: why it waits, then its progress, until it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from coat_ray.client import Client, PlatformError, part
from coat_ray.commands.run_view import total_steps
from coat_ray.registry.metrics import expert_terms

LOOK_EVERY_S = 5.0
SILENT_S = 600.0
"""A platform that does not answer for so long is given up; while it starts again, the run goes on."""

DONE, FAILED, INTERRUPTED = 0, 1, 130
ENDED = ("done", "failed", "stopped")
WAITING = ("queued", "starting")
"""Nothing is logged then, and every request counts against the tenant's rate."""

LOG_LINES, NO_LOG = 1000, 404


def watch(client: Client, run_id: str, show: Callable[[str], None]) -> int:
    """Show state and progress until the run ends; gives the exit code: 0 done, 1 failed or stopped, 130 on Ctrl-C.

    Raises:
        PlatformError: no such run, or the platform does not answer for ten minutes.
    """
    try:
        run = _Watched(client, run_id, show).to_its_end()
    except KeyboardInterrupt:
        show(f"run {run_id} goes on; `coat runs watch {run_id}` watches it again, `coat runs stop {run_id}` ends it")
        return INTERRUPTED
    result = run["result"] or {}
    for model in result.get("models", ()):
        show(f"model {model}: `coat models show {model}` has its record")
    if "folder" in result:
        show(f"`coat runs report {run_id}` gets the report")
    return DONE if run["state"] == "done" else FAILED


def state_line(run: Mapping[str, Any]) -> str:
    """Where a run stands, and why."""
    return f"run {run['id']} is {run['state']}" + (f": {run['reason']}" if run["reason"] else "")


def progress_line(arm: str, row: Mapping[str, Any], steps: int) -> str:
    """One line of metrics: where an arm stands, and its losses."""
    terms = [term for term in ("loss", "ce") if term in row] + expert_terms(row)
    return f"{arm}  step {row['step']}/{steps}  " + "  ".join(f"{term} {row[term]:.3f}" for term in terms)


class _Watched:
    """What was shown of a run already."""

    def __init__(self, client: Client, run_id: str, show: Callable[[str], None]) -> None:
        self.client, self.place, self.show = client, f"/runs/{part(run_id)}", show
        self.said = ""
        self.seen: dict[str, int] = {}
        self.printed: set[str] = set()
        self.answered = time.monotonic()

    def to_its_end(self) -> dict[str, Any]:
        """Look again and again; gives the ended run."""
        while True:
            try:
                run = self.client.get(self.place)
                self._show_news(run)
                if run["state"] in ENDED:
                    return run
                self.answered = time.monotonic()
                if run["kind"] == "sweep" and run["state"] not in WAITING:
                    self._show_log()
            except PlatformError as error:
                if error.status not in (None, 429, 502, 503) or time.monotonic() - self.answered > SILENT_S:
                    raise
                self._say(f"{error}; the run is not touched by this, asking again")
            time.sleep(LOOK_EVERY_S)

    def _show_log(self) -> None:
        """What a sweep prints, until it ends or the platform wants to be asked again; each line once."""
        try:
            for line in self.client.stream(f"{self.place}/logs", tail=LOG_LINES, follow="true"):
                if line not in self.printed:
                    self.show(line)
                self.printed.add(line)
        except PlatformError as error:
            if error.status != NO_LOG:
                raise

    def _show_news(self, run: dict[str, Any]) -> None:
        """State before progress, but an end after it. Of what was logged before the first look, the newest line."""
        ended = run["state"] in ENDED
        if not ended:
            self._say(state_line(run))
        if run["state"] in WAITING:
            return
        after = [f"{arm}:{step}" for arm, step in self.seen.items()]
        for arm, rows in self.client.get(f"{self.place}/metrics", after=after)["data"].items():
            for row in rows if arm in self.seen else rows[-1:]:
                self.show(progress_line(arm, row, total_steps(run["config"])))
            self.seen[arm] = rows[-1]["step"] if rows else self.seen.get(arm, -1)
        if ended:
            self._say(state_line(run))

    def _say(self, line: str) -> None:
        if line != self.said:
            self.said = line
            self.show(line)
