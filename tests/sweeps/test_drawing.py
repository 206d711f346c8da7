"""Pictures are PNGs of what was found, whatever the names are, and absent where there is nothing to draw."""

import io
import warnings

import pytest
from PIL import Image

from sweeps import drawing
from sweeps.estimates import points_of
from sweeps.importance import importances
from sweeps.record import Objective

from .objects import seeds, trial

ACCURACY = Objective()
HOSTILE = r"_$\frac{x$ <b> {0} %s"


@pytest.fixture
def results():
    kinds = [("a", 0.0, 0.3, "done"), ("b", 0.1, 0.6, "done"), ("c", 5.0, 0.5, "done"), ("d", 9.0, 0.2, "stopped")]
    curve = ((10, 0.1), (20, 0.2))
    return [
        trial(name, seed, score + seed / 100, state=state, curve=curve, step_seconds=score, params=params)
        for name, weight, score, state in kinds
        for seed in (0, 1)
        for params in [{"stages.0.weights.pitch": weight, HOSTILE: f"{HOSTILE}{weight}", "same": 1}]
    ]


def _draw_all(results):
    points = points_of(results)
    return [
        drawing.draw_scores(points, ACCURACY),
        drawing.draw_curves(results, ACCURACY),
        drawing.draw_parallel(points, ACCURACY),
        drawing.draw_importance(importances(points, ACCURACY)),
        drawing.draw_cost(points, ACCURACY),
    ]


def test_every_picture_is_a_png_of_sensible_size_with_words(results):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pictures = _draw_all(results)
    assert [picture.name for picture in pictures] == ["scores", "curves", "parallel", "importance", "cost"]
    for picture in pictures:
        image = Image.open(io.BytesIO(picture.png))
        image.load()
        assert image.format == "PNG"
        assert 500 <= image.width <= 2500
        assert 150 <= image.height <= 2500
        assert len(picture.png) < 1_000_000
        assert len(set(image.convert("L").resize((200, 200)).tobytes())) > 20, f"{picture.name} is blank"
        assert len(picture.alt) > 30
        assert len(picture.title) > 10


def test_without_anything_to_draw_there_are_no_pictures():
    assert _draw_all([trial("a", score=None, state="failed")]) == [None] * 5


def test_a_stopped_trial_ends_visibly(results):
    stopped = [result for result in results if result.state == "stopped"]
    done = [result.model_copy(update={"state": "done"}) for result in stopped]
    drawn, other = (drawing.draw_curves(trials, ACCURACY) for trials in (stopped, done))
    assert drawn.png != other.png
    assert "2 end early" in drawn.alt
    assert "0 end early" in other.alt


def test_the_training_loss_has_a_panel_of_its_own(results):
    with_losses = [result.model_copy(update={"losses": ((10, 3.0), (20, 2.0))}) for result in results]
    alone = [result.model_copy(update={"curve": ()}) for result in with_losses]
    one, both, loss = (drawing.draw_curves(trials, ACCURACY) for trials in (results, with_losses, alone))
    widths = [Image.open(io.BytesIO(picture.png)).width for picture in (one, both, loss)]
    assert widths[1] == 2 * widths[0] == 2 * widths[2]
    assert both.alt.startswith("mean accuracy in % and training loss over the steps of 8 trials")


def test_many_points_and_hostile_variants_can_be_drawn():
    results = [t for n in range(40) for t in seeds(f"p{n}", n / 40, variant=f"{HOSTILE} {n}", curve=((1, 0.1),))]
    image = Image.open(io.BytesIO(drawing.draw_scores(points_of(results), ACCURACY).png))
    assert image.height <= 1500
    assert drawing.draw_curves(results, ACCURACY) is not None
    assert drawing.draw_curves(results[:3], ACCURACY) is not None


def test_numbers_over_a_decade_stand_on_a_logarithmic_axis():
    heights, ticks = drawing.axis_places([0.01, 0.1, 1.0])
    assert heights == pytest.approx([0.0, 0.5, 1.0])
    assert [text for _, text in ticks] == ["0.01", "0.1", "1"]


def test_a_zero_stands_at_the_foot_of_a_logarithmic_axis():
    heights, ticks = drawing.axis_places([0.0, 0.01, 1.0])
    assert heights == pytest.approx([0.0, drawing.ZERO_GAP, 1.0])
    assert (0.0, "0") in ticks


def test_numbers_within_a_decade_or_below_zero_stand_on_a_linear_axis():
    assert drawing.axis_places([1, 2, 5])[0] == [0.0, 0.25, 1.0]
    assert drawing.axis_places([-10, 0, 30])[0] == [0.0, 0.25, 1.0]
    assert drawing.axis_places([1.0, 100.0, 25.75], log=False)[0] == pytest.approx([0.0, 1.0, 0.25])
    assert drawing.axis_places([3, 3]) == ([0.5, 0.5], [(0.5, "3")])


def test_choices_and_mixtures_of_kinds_stand_evenly():
    assert drawing.axis_places(["b", "a", "c"]) == ([0.5, 0.0, 1.0], [(0.0, "a"), (0.5, "b"), (1.0, "c")])
    assert drawing.axis_places([True, False])[0] == [1.0, 0.0]
    assert drawing.axis_places([None, 2])[0] == [1.0, 0.0]
