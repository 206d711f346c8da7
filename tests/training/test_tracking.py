"""Sinks are copies of metrics.jsonl: no step twice, nothing missing, and never the end of a run."""

import importlib.util
import struct
from pathlib import Path

import pytest
from pydantic import ValidationError
from tensorboardX.proto.event_pb2 import Event

from coat_ray.config import ConfigError, RunConfig, TrackingConfig
from coat_ray.registry.metrics import read_metrics
from coat_ray.registry.runs import identity
from coat_ray.training.progress import MetricsWriter
from coat_ray.training.tracking import check_tracking, open_sinks


def line(step, **values):
    return {"step": step, "steps": 2, "stage": "one", "loss": 1 / step, "recon/mse": 0.5, **values}


def report(writer, *steps, **values):
    for step in steps:
        writer.after_report(None, [line(step, **values), {}], None)


def scalars(folder: Path, tag: str):
    """(step, value) of every scalar in the event files, record by record: length, check sum, event, check sum."""
    found = []
    for path in sorted(folder.glob("events.*")):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            event = Event.FromString(data[12 : 12 + length])
            found += [(event.step, round(v.simple_value, 4)) for v in event.summary.value if v.tag == tag]
            data = data[16 + length :]
    return found


def writer_of(folder, **tracking):
    return MetricsWriter(folder / "metrics.jsonl", lambda: open_sinks(TrackingConfig(**tracking), folder))


def test_a_run_that_goes_on_has_each_step_once_in_tensorboard(tmp_path):
    report(writer_of(tmp_path), 2)  # before anybody asked for it
    report(writer_of(tmp_path, tensorboard=True), 4, 6)
    report(writer_of(tmp_path, tensorboard=True), 4, 6, 8)  # back to a checkpoint
    assert scalars(tmp_path / "tensorboard", "loss") == [(2, 0.5), (4, 0.25), (6, 0.1667), (8, 0.125)]
    assert len(scalars(tmp_path / "tensorboard", "recon/mse")) == 4
    assert scalars(tmp_path / "tensorboard", "stage") == []


def test_a_run_that_goes_on_has_each_step_once_in_mlflow(tmp_path):
    mlflow = pytest.importorskip("mlflow")
    uri = (tmp_path / "mlruns").as_uri()
    report(writer_of(tmp_path, mlflow=uri), 2, 4, 6)
    report(writer_of(tmp_path, mlflow=uri), 4, 6, 8)
    client = mlflow.MlflowClient(tracking_uri=uri)
    [run] = client.search_runs([client.get_experiment_by_name("coat_ray").experiment_id])
    assert [point.step for point in client.get_metric_history(run.info.run_id, "loss")] == [2, 4, 6, 8]


def test_a_sink_that_fails_costs_a_warning_and_no_metrics(tmp_path, caplog):
    class Broken:
        def write(self, rows):
            raise ConnectionError("no server")

    writer = MetricsWriter(tmp_path / "metrics.jsonl", lambda: [Broken()])
    report(writer, 2, 4)
    assert [row["step"] for row in read_metrics(tmp_path / "metrics.jsonl")] == [2, 4]
    assert caplog.text.count("tracking stops, training goes on") == 1


def test_a_missing_package_is_one_sentence_before_training(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    check_tracking(TrackingConfig())
    with pytest.raises(ConfigError, match=r"tracking.tensorboard needs .* pip install 'coat-ray\[tensorboard\]'"):
        check_tracking(TrackingConfig(tensorboard=True))
    with pytest.raises(ConfigError, match=r"tracking.mlflow needs .* pip install 'coat-ray\[mlflow\]'"):
        check_tracking(TrackingConfig(mlflow="http://127.0.0.1:5000"))


@pytest.mark.parametrize(("uri", "sentence"), [("mlruns", "is no URI"), ("http://me:key@host/x", "leave name and")])
def test_a_uri_that_cannot_be_kept_is_refused(uri, sentence):
    with pytest.raises(ValidationError, match=sentence):
        TrackingConfig(mlflow=uri)


def test_where_metrics_go_makes_no_other_run():
    run = RunConfig(name="trial", stages=[{"name": "one", "steps": 2}])
    told = run.model_copy(update={"tracking": TrackingConfig(tensorboard=True)})
    assert identity(told, "coat") == identity(run, "coat")
