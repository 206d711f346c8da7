"""Optional sinks for metrics: TensorBoard and MLflow. ``metrics.jsonl`` stays the truth, a sink is a copy of it.

There is one writer, in the controller. When it starts, a sink is brought to where ``metrics.jsonl`` stands, so that a
run that goes on continues its curves, whatever was lost or is computed again, and no step is there twice.
"""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from coat_ray.config import ConfigError, TrackingConfig

RUN_TAG = "coat.run"
EXPERIMENT = "coat_ray"
MLFLOW = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # a server that does not answer must not hold up training
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_ALLOW_FILE_STORE": "true",  # 3.17 wants to be asked for file:///…
}
"""Environment of the MLflow client, where it says nothing else."""


class Sink(Protocol):
    """Takes whole log lines in the order of their steps."""

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add rows; those of steps that the sink has already are left out."""


def check_tracking(tracking: TrackingConfig) -> None:
    """Refuse sinks whose package is not installed.

    Raises:
        ConfigError: one sentence that says what to install.
    """
    wanted = {"tensorboard": ("tensorboardX", tracking.tensorboard), "mlflow": ("mlflow", tracking.mlflow)}
    for name, (package, asked) in wanted.items():
        if asked and importlib.util.find_spec(package) is None:
            raise ConfigError(f"tracking.{name} needs the package {package}: pip install 'coat-ray[{name}]'")


def open_sinks(tracking: TrackingConfig, folder: Path) -> list[Sink]:
    """The sinks that a configuration asks for; *folder* is the run's, and its name the run's id."""
    sinks: list[Sink] = []
    if tracking.tensorboard:
        sinks.append(TensorBoardSink(folder / "tensorboard"))
    if tracking.mlflow:
        sinks.append(MlflowSink(tracking.mlflow, folder.name))
    return sinks


class TensorBoardSink:
    """Event files, made anew by every writer: they cannot be cut back to a step.

    Events are written at once: the queue of ``SummaryWriter`` would lose the last of them with the process.
    """

    def __init__(self, folder: Path) -> None:
        from tensorboardX.event_file_writer import EventsWriter  # noqa: PLC0415 - an extra
        from tensorboardX.proto.event_pb2 import Event, SessionLog  # noqa: PLC0415

        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("events.*"):
            old.unlink()
        self._writer, self._last = EventsWriter(str(folder / "events")), 0
        anew = SessionLog(status=SessionLog.START)  # a reader forgets what it had of older files
        self._writer.write_event(Event(step=0, wall_time=time.time(), session_log=anew))

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add every number of each row as a scalar."""
        from tensorboardX.proto.event_pb2 import Event  # noqa: PLC0415 - an extra
        from tensorboardX.summary import scalar  # noqa: PLC0415

        for row in rows:
            if row["step"] > self._last:
                for key, value in _numbers(row).items():
                    event = Event(step=row["step"], wall_time=time.time(), summary=scalar(key, value))
                    self._writer.write_event(event)
                self._last = row["step"]
        self._writer.flush()


class MlflowSink:
    """One MLflow run for a run, found again by its tag; a step that is there is not sent again."""

    def __init__(self, uri: str, run_id: str) -> None:
        os.environ.update({key: os.environ.get(key, value) for key, value in MLFLOW.items()})
        from mlflow import MlflowClient  # noqa: PLC0415 - an extra

        self._client = MlflowClient(tracking_uri=uri)
        known = self._client.get_experiment_by_name(EXPERIMENT)
        experiment = known.experiment_id if known else self._client.create_experiment(EXPERIMENT)
        found = self._client.search_runs([experiment], f"tags.`{RUN_TAG}` = '{run_id}'", max_results=1)
        run = found[0] if found else self._client.create_run(experiment, tags={RUN_TAG: run_id}, run_name=run_id)
        self._run = run.info.run_id
        self._last = int(run.data.metrics.get("step", 0))

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Send every number of each row as a metric, ``step`` last: it says that the others are there."""
        from mlflow.entities import Metric  # noqa: PLC0415 - an extra

        for row in rows:
            step = row["step"]
            if step > self._last:
                values = {**_numbers(row), "step": float(step)}
                self._client.log_batch(self._run, [Metric(key, value, 0, step) for key, value in values.items()])
                self._last = step


def _numbers(row: Mapping[str, Any]) -> dict[str, float]:
    return {key: float(value) for key, value in row.items() if key != "step" and isinstance(value, int | float)}
