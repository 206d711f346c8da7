"""What is drawn of a block: rows in one time, units, and the same classes for student and teacher."""

from __future__ import annotations

import numpy as np
import pytest

from ui.plots.curves import curves
from ui.plots.inside import figure
from ui.plots.reads import table
from ui.plots.runs import scores
from ui.plots.usage import months, queue
from ui.sound import Clip

CLIP = Clip("a", np.sin(np.arange(16_000) / 10).astype(np.float32))
TIME = {"unit": "s", "first_center": 0.01, "step": 0.5, "columns": 2, "positions_per_column": 12}


def view(kind, names, values, **more):
    facts = {"expert": "e", "summary": "", "unit": "probability", "axes": ["time", kind], "time": TIME}
    return {**facts, kind: names, "values": values, **more}


THINKING = {
    "sed": view("class", [f"c{i}" for i in range(12)], [[i / 12 for i in range(12)]] * 2),
    "paralinguistic": view("class", ["calm", "angry"], [[0.2, 0.8]] * 2),
    "pitch": view("note", ["A4", "B4"], [[0.9, 0.1]] * 2),
    "recon": view("frequency", [100.0, 1000.0, 4000.0], [[-20.0, -3.0, -40.0]] * 2) | {"expert": "log-mel"},
    "speech": {"expert": "spidr", "summary": "", "time": TIME, "similarity": [[1.0, 0.2], [0.2, 1.0]]},
    "new": view("class", ["x"], [[0.5], [0.6]]),
}
TEACHERS = {
    "sed": view("class", THINKING["sed"]["class"], [[1 - i / 12 for i in range(12)]] * 2)
    | {"agreement": {"measure": "m", "value": 0.25}},
    "pitch": THINKING["pitch"] | {"agreement": {"measure": "m", "value": None}},
}


def test_every_role_is_drawn_below_the_waveform_in_one_time():
    drawn = figure(CLIP, THINKING, TEACHERS)
    titles = [annotation.text for annotation in drawn.layout.annotations]
    assert titles[0] == "Waveform"
    for name in (
        "Sound ·",
        "Sound events · in the block",
        "Sound events · teacher (e)",
        "Affect",
        "Pitch",
        "Speech",
        "new",
    ):
        assert any(title.startswith(name) for title in titles), name
    times = [axis for axis in drawn.layout if axis.startswith("xaxis")]
    assert len(times) == len(titles)
    assert all(drawn.layout[axis].range == (0, 1.0) for axis in times)
    assert {drawn.layout[axis].matches for axis in times} - {None} != set()


def test_student_and_teacher_show_the_same_classes():
    drawn = figure(CLIP, {"sed": THINKING["sed"]}, TEACHERS)
    student, teacher = (trace for trace in drawn.data if trace.type == "heatmap")
    assert [row[0] for row in student.customdata] == [row[0] for row in teacher.customdata]
    assert {"c0", "c11"} <= {row[0] for row in student.customdata}


def test_values_are_read_with_their_units():
    drawn = figure(CLIP, THINKING, {})
    hovers = [trace.hovertemplate for trace in drawn.data if trace.type == "heatmap"]
    assert any("dB" in hover for hover in hovers)
    assert all("s ·" in hover or "is like" in hover for hover in hovers)


def test_the_table_says_how_far_they_agree_and_where_nothing_can_be_compared():
    shown = table(THINKING, TEACHERS)
    assert "width:25%" in shown
    assert "nothing to compare" in shown
    assert "not compared" in shown


@pytest.mark.parametrize("arms", [{}, {"coat": []}])
def test_a_run_that_has_not_begun_has_no_curves(arms):
    assert curves(arms) is None


def test_a_run_has_a_plot_for_each_loss_with_all_arms():
    rows = [{"step": s, "loss": 1 / s, "ce": 0.5, "pitch/mse": 0.1, "pitch/grad": 3.0} for s in (1, 2)]
    drawn = curves({"sft": rows, "coat": rows})
    assert [a.text for a in drawn.layout.annotations] == ["Total loss", "Cross-entropy of answers", "Pitch: MSE"]
    assert len(drawn.data) == 6


def test_names_of_runs_are_text():
    run = {"name": "<b>", "tenant": "a", "state": "queued", "reason": "<i>", "priority": 0}
    run |= {"submitted_at": "2026-01-01T00:00:00+00:00", "resources": {"cpus": 1, "gpus": 0}}
    assert "<b>" not in queue([run])
    assert months([]) is None


def test_scores_are_one_line_for_each_task():
    task = {"metric": "accuracy", "value": 0.5, "low": 0.25, "high": 0.75, "n": 20, "skills": {"a": {"value": 0.1}}}
    made = {"model": "speech/a@1", "alias": None, "licence": "Apache-2.0", "commercial_use": True}
    shown = scores([made | {"scores": {"world": {"benchmark": "world", "tasks": {"audio_qa": task}, "mean": 0.5}}}])
    assert "audio qa" in shown
    assert "0.500 (0.25 to 0.75) accuracy" in shown
    assert shown.count("<tr>") == 2
