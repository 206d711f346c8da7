"""From granted leases to Ray jobs: the only place that starts something on the cluster, and only what stands here."""

from __future__ import annotations

import json
import logging
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from coat_ray.leasing.keeper import LEASE_FILE
from coat_ray.storage import Storage, private_write
from coat_ray.tenancy.leases import Lease
from coat_ray.tenancy.ledger import Ledger
from coat_ray.tenancy.ledger_tables import RunKind, RunState
from coat_ray.tenancy.roles import PLATFORM
from coat_ray.tenancy.runs import HOLDING, Run, list_runs
from serve.shared import place_shared

logger = logging.getLogger(__name__)

ENTRYPOINTS: Mapping[RunKind, tuple[str, ...]] = {
    RunKind.RUN: (sys.executable, "jobs/train.py"),
    RunKind.SWEEP: (sys.executable, "sweeps/run.py"),
}
"""What a run of each kind starts. A caller gives a configuration and never a command."""

LOST = "LOST"
ENDED_JOB = frozenset({"STOPPED", "SUCCEEDED", "FAILED", LOST})


class Cluster(Protocol):
    """Where jobs go; Ray's own ``JobSubmissionClient`` is one."""

    def submit_job(self, *, entrypoint: str, submission_id: str, runtime_env: dict[str, object]) -> str:
        """Start a job. An id that is taken already is an error."""
        ...

    def get_job_status(self, job_id: str) -> str:
        """PENDING, RUNNING, STOPPED, SUCCEEDED or FAILED; an id that is not known is a RuntimeError."""
        ...

    def stop_job(self, job_id: str) -> bool:
        """Ask a job to end, and kill it when it does not."""
        ...

    def get_job_logs(self, job_id: str) -> str:
        """What a job printed so far."""
        ...


@dataclass(frozen=True)
class Dispatcher:
    """Starts the job of every lease that has none yet, and takes back the lease of a job that is no more.

    It may be killed at any point and started again.
    """

    ledger: Ledger
    storage: Storage
    cluster: Cluster
    working_dir: Path
    platform_url: str

    def step(self) -> list[str]:
        """Decide, take back what ended without a word, start what is to be started; gives the ids of the started."""
        self.ledger.tick()
        for run in self._runs(*HOLDING):
            self._alone(self._take_back, run)
        return [run.id for run in self._runs(RunState.STARTING) if self._alone(self._start, run)]

    @staticmethod
    def _alone(work: Callable[[Run], bool], run: Run) -> bool:
        """What goes wrong with one run must not keep the others waiting."""
        try:
            return work(run)
        except Exception:
            logger.exception("run %s could not be looked after; the next round tries again", run.id)
            return False

    def _runs(self, *states: RunState) -> list[Run]:
        with self.ledger.database.read() as session:
            return [run for state in states for run in list_runs(session, actor=PLATFORM, state=state, limit=1000)]

    def _take_back(self, run: Run) -> bool:
        """A job gives its lease back before it ends: one that ended and still holds it, or that is lost, has died."""
        if not run.again or run.ray_job_id != _submission(run):
            return False
        status = self._status(run.ray_job_id)
        if status not in ENDED_JOB:
            return False
        reason = f"its job ended without a word ({status})"
        self.ledger.died(run.id, run.attempts, reason, counts=status != LOST)
        return True

    def _status(self, submission: str) -> str:
        """What Ray says of a job; one that it does not know went with an earlier cluster."""
        try:
            return str(self.cluster.get_job_status(submission))
        except RuntimeError as error:
            if "does not exist" not in str(error):
                raise
            return LOST

    def _has_ended(self, submission: str) -> bool:
        """Whether a job is over; it is ended where it is not."""
        if self._status(submission) in ENDED_JOB:
            return True
        self.cluster.stop_job(submission)
        return False

    def _start(self, run: Run) -> bool:
        submission = _submission(run)
        lease = self.ledger.lease_of(run.id)
        if lease is None or not run.again or run.ray_job_id == submission:
            return False
        if run.attempts > 1 and not self._has_ended(f"{run.id}-{run.attempts - 1}"):
            return False  # two attempts must never write into one folder
        place_shared(self.ledger.database, self.storage, run.tenant)
        try:
            self.cluster.submit_job(
                entrypoint=self._command(run),
                submission_id=submission,
                runtime_env={"working_dir": str(self.working_dir), "env_vars": self._environment(run, lease)},
            )
        except RuntimeError as error:
            if "already exists" not in str(error):  # else a dispatcher before this one died between two lines
                logger.warning("the job of run %s could not be started: %s", run.id, error)
                return False
        self.ledger.started(run.id, submission)
        return True

    def _command(self, run: Run) -> str:
        config = self.storage.submissions / f"{run.id}.yaml"
        private_write(config, json.dumps(run.config, indent=2))  # JSON is YAML
        return shlex.join([*ENTRYPOINTS[run.kind], "--config", str(config)])

    def _environment(self, run: Run, lease: Lease) -> dict[str, str]:
        """The token goes by a file that only this user can read: Ray shows environments to whoever may see jobs."""
        proof = self.storage.submissions / f"{_submission(run)}.lease"
        private_write(proof, json.dumps({"run": run.id, "token": lease.token}))
        return {
            "COAT_HOME": str(self.storage.tenant(run.tenant).root),
            "COAT_PLATFORM": self.platform_url,
            LEASE_FILE: str(proof),
        }


def _submission(run: Run) -> str:
    """The Ray job of a run's present attempt."""
    return f"{run.id}-{run.attempts}"
