"""Curves hold what was logged where it was logged, and a text plot puts it in its place."""

import pytest

from coat_ray.registry.curves import Curve, CurvesError, draw_curves, loss_curves, text_plot

ROWS = [
    {"step": 2, "loss": 3.0, "ce": 2.0, "recon/mse": 1.0, "recon/grad": 9.0, "recon/weight": 1.0, "lr": 0.1},
    {"step": 4, "loss": 2.0, "ce": 1.0, "recon/mse": 0.5, "pitch/focal": 0.5, "recon/log_variance": 0.0},
]


def test_every_loss_is_a_curve_from_where_it_begins():
    curves = loss_curves(ROWS)
    assert list(curves) == ["loss", "ce", "pitch/focal", "recon/mse"]
    assert curves["loss"] == Curve((2, 4), (3.0, 2.0))
    assert curves["pitch/focal"] == Curve((4,), (0.5,))


def test_a_falling_line_falls_from_the_upper_left_to_the_lower_right():
    falling = Curve(tuple(range(4)), (3.0, 2.0, 1.0, 0.0))
    assert text_plot(falling, 4, 0.0, 3.0, width=2, height=1) == "⠑⢄"


def test_a_flat_line_and_a_single_point_can_be_drawn():
    assert text_plot(Curve((0,), (5.0,)), 1, 5.0, 5.0, width=1, height=1) == "⠁"


def test_nothing_to_draw_is_said(tmp_path):
    with pytest.raises(CurvesError, match="nothing has been logged"):
        draw_curves({"run": {}}, tmp_path / "x.png")


def test_several_runs_make_one_figure(tmp_path):
    draw_curves({"a": loss_curves(ROWS), "b": loss_curves(ROWS[:1])}, tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
