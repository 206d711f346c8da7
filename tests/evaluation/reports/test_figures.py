"""Figures are PNGs; whether there can be any is whether matplotlib is there."""

import importlib.util

from coat_ray.evaluation.reports import figures


def test_whether_one_can_draw_is_whether_matplotlib_is_there(monkeypatch):
    assert figures.can_draw()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not figures.can_draw()


def test_a_figure_becomes_a_png_with_words():
    figure, (left, right) = figures.new_figure(4, 2, panels=2)
    left.plot([0, 1])
    right.set_title(figures.plain("_$x$ and more", longest=8))
    drawn = figures.picture("name", "title", "alt", figure)
    assert drawn.png.startswith(b"\x89PNG")
    assert (drawn.name, drawn.title, drawn.alt) == ("name", "title", "alt")
