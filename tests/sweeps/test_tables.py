"""Tables and sentences say what the trials hold, and no more than they can hold."""

import io

import pytest
from rich.console import Console

from sweeps.estimates import difference, estimate, points_of
from sweeps.importance import Importance
from sweeps.record import Objective
from sweeps.tables import (
    ONE_SEED,
    change_cell,
    cost_table,
    group_changes_table,
    groups_table,
    importance_table,
    ladder_says,
    ladder_table,
    points_table,
    score_cell,
    step_says,
    terminal_table,
)

from .objects import seeds, trial

ACCURACY = Objective()
SECONDS = Objective(name="step_seconds", minimise=True, percent=False)


def _says(first, second, objective=ACCURACY):
    a, b = points_of([*seeds("a", *first, variant="sft"), *seeds("b", *second, variant="coat")])
    return step_says(difference(b, a), objective)


def test_cells_show_mean_and_interval_in_the_unit_of_the_objective():
    assert score_cell(estimate([0.4, 0.6]), ACCURACY) == "50.0 [-77.1, 177.1]"
    assert score_cell(estimate([0.4, 0.6]), SECONDS) == "0.5 [-0.7706, 1.771]"
    assert score_cell(estimate([0.4]), ACCURACY) == "40.0"
    assert score_cell(None, ACCURACY) == "-"


def test_a_star_says_that_the_interval_excludes_zero():
    assert change_cell(estimate([0.10, 0.11, 0.12]), ACCURACY) == "+11.0 [+8.5, +13.5] *"
    assert change_cell(estimate([-0.10, 0.11, 0.12]), ACCURACY).endswith("]")
    assert change_cell(estimate([0.10]), ACCURACY) == "+10.0"


def test_a_step_whose_interval_excludes_zero_names_the_better_one():
    better = "coat minus sft: +11.0 [+8.5, +13.5] points over 3 seeds; the interval excludes zero: coat is better."
    assert _says([0.5, 0.6, 0.7], [0.60, 0.71, 0.82]) == better
    assert _says([0.60, 0.71, 0.82], [0.5, 0.6, 0.7]).endswith("the interval excludes zero: coat is worse.")
    assert _says([0.60, 0.71, 0.82], [0.5, 0.6, 0.7], SECONDS).endswith("the interval excludes zero: coat is better.")


def test_a_step_whose_interval_includes_zero_shows_no_difference():
    assert _says([0.5, 0.6, 0.7], [0.6, 0.5, 0.8]).endswith("the interval includes zero: no difference is shown.")


def test_one_seed_or_none_in_common_says_nothing_about_zero():
    assert "+10.0 points with one common seed; without an interval nothing can be said" in _says([0.5], [0.6])
    a, b = points_of([trial("a", 0), trial("b", 1)])
    assert step_says(difference(b, a), ACCURACY) == "b minus a: no seed finished in both, so nothing can be said."


def test_an_order_that_does_not_appear_is_reported():
    points = points_of([*seeds("a", 0.3, 0.31), *seeds("b", 0.2, 0.2), *seeds("c", 0.4, 0.41)])
    said = ladder_says(points, ACCURACY)
    assert "The means do not improve at each step of the declared order: b is not better than a." in said
    assert [sentence.split(":")[0] for sentence in said[:3]] == ["b minus a", "c minus b", "c minus a"]
    assert said[-1].startswith("3 intervals, not corrected")


def test_an_order_that_appears_is_reported_with_the_intervals_that_confirm_it():
    points = points_of([*seeds("a", 0.1, 0.1), *seeds("b", 0.2, 0.2), *seeds("c", 0.1, 0.5)])
    assert "The means improve at each step of the declared order; 1 of 2 intervals exclude zero." in ladder_says(
        points, ACCURACY
    )
    assert any("do not improve" in sentence for sentence in ladder_says(points, SECONDS))


def test_the_ladder_has_a_row_per_variant_and_compares_with_the_one_before_and_the_first():
    points = points_of([trial("a", score=0.1), trial("b", score=0.3), trial("c", score=0.2)])
    table = ladder_table(points, ACCURACY)
    assert table.columns[-1] == "minus a"
    assert [row[0] for row in table.rows] == ["a", "b", "c"]
    assert [row[3:] for row in table.rows] == [("", ""), ("+20.0", "+20.0"), ("-10.0", "+10.0")]


def test_points_are_best_first_with_what_they_set():
    results = [trial("a", score=0.1, params={"optim.lr": 1e-5}), trial("b", score=0.3, params={"arms": ["sft"]})]
    table = points_table(points_of([*results, trial("c", state="stopped", score=0.9)]), ACCURACY)
    assert [row[0] for row in table.rows] == ["b", "a", "c"]
    assert [row[-1] for row in table.rows] == ['arms=["sft"]', "optim.lr=1e-05", ""]
    assert table.rows[2][1:4] == ("90.0 (stopped)", "0", "1")
    assert ONE_SEED in table.notes
    assert points_table(points_of(results), ACCURACY, top=1).title == "Best 1 of 2 points"


def test_the_untrained_base_needs_no_second_seed():
    notes = points_table(points_of([trial("base", steps=0), *seeds("a", 0.1, 0.2)]), ACCURACY).notes
    assert notes == ["base is not trained, and the same for every seed."]


def test_groups_are_means_over_finished_seeds():
    done = [trial("a", 0, scores={"music": 0.4}), trial("a", 1, scores={"music": 0.6, "asr": 0.1})]
    stopped = trial("a", 2, scores={"music": 0.0}, state="stopped")
    table = groups_table(points_of([*done, stopped]), ACCURACY)
    assert [row[:2] for row in table.rows] == [("music", "50.0 [-77.1, 177.1]"), ("asr", "10.0")]
    assert any("error rate" in note for note in table.notes)
    assert groups_table(points_of([trial("a")]), ACCURACY) is None


def test_changes_of_groups_are_paired_by_seed_with_the_first_variant():
    first = [trial("a", s, variant="all", scores={"music": m, "asr": 0.1}) for s, m in enumerate((0.2, 0.5, 0.8))]
    lower = [trial("b", s, variant="no_pitch", scores={"music": m}) for s, m in enumerate((0.1, 0.39, 0.68))]
    base = trial("c", 0, variant="base", steps=0, scores={"music": 0.6, "asr": 0.1})
    found = points_of([*first, *lower, base], ["all", "no_pitch", "base"])
    table = group_changes_table(found, ACCURACY)
    assert table.columns == ("task group", "no_pitch", "base")
    assert table.rows[0] == ("music", "-11.0 [-13.5, -8.5] *", "+10.0 [-64.5, +84.5]")
    assert table.rows[1] == ("asr", "-", "+0.0 [+0.0, +0.0]")
    assert table.notes[-1].startswith("3 intervals")
    assert (
        group_changes_table(points_of([trial("a", variant="x"), trial("b", variant="y")], ["x", "y"]), ACCURACY) is None
    )


def test_cost_adds_up_over_all_states():
    held = {"seconds": 1800, "cpus": 4, "gpus": 2}
    results = [trial("a", **held), trial("b", state="stopped", **held), trial("c", state="failed", steps=7)]
    rows = {row[0]: row[1:] for row in cost_table(results).rows}
    assert rows["done"] == ("1", "100", "0.50", "2.00", "1.00")
    assert rows["failed"] == ("1", "7", "0.00", "0.00", "0.00")
    assert rows["all"] == ("3", "207", "1.00", "4.00", "2.00")


@pytest.mark.parametrize(("num_points", "cautious"), [(19, True), (20, False)])
def test_importances_from_few_points_come_with_caution(num_points, cautious):
    found = [Importance("lr", 0.9, 0.2, 0.8), Importance("kind", 0.1, 0.2, None)]
    table = importance_table(found, num_points)
    assert [row[-1] for row in table.rows] == ["more is better", "not more than chance"]
    assert any("Caution" in note for note in table.notes) is cautious


def test_the_terminal_shows_a_name_that_looks_like_markup():
    out = io.StringIO()
    points = points_of([trial("a", variant="[red]x[/red] [/oops]")])
    Console(file=out, width=160).print(terminal_table(points, ACCURACY))
    assert "[red]x[/red] [/oops]" in out.getvalue()
