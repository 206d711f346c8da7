"""Means, intervals and differences over seeds are scipy's, and the best point is one that was trained to its end."""

import math
from itertools import permutations

import pytest
import scipy.stats

from sweeps.estimates import (
    best_point,
    difference,
    estimate,
    ladder,
    luckier,
    pareto_front,
    points_of,
    ranking,
    score_of,
)
from sweeps.record import Objective

from .objects import seeds, trial

ACCURACY = Objective()
LOSS = Objective(name="loss", minimise=True, percent=False)


def test_the_interval_over_seeds_is_scipys():
    values = [0.61, 0.58, 0.66, 0.55, 0.60]
    theirs = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.95)
    ours = estimate(values)
    assert ours.n == 5
    assert ours.mean == pytest.approx(0.6)
    assert (ours.interval.low, ours.interval.high) == pytest.approx((theirs.low, theirs.high))


def test_two_seeds_have_the_wide_interval_of_one_degree_of_freedom():
    interval = estimate([0.4, 0.6]).interval  # standard error 0.1, t(1, 0.975) = 12.706
    assert (interval.low, interval.high) == pytest.approx((0.5 - 1.2706, 0.5 + 1.2706), abs=1e-4)


def test_one_seed_has_no_interval_and_never_excludes_zero():
    one = estimate([0.9])
    assert (one.mean, one.interval, one.n) == (0.9, None, 1)
    assert not one.excludes_zero


def test_equal_scores_have_an_interval_of_no_width():
    found = estimate([0.25, 0.25])
    assert (found.interval.low, found.interval.high) == (0.25, 0.25)
    assert found.excludes_zero
    assert not estimate([0.0, 0.0]).excludes_zero


def test_a_mean_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one value"):
        estimate([])


def test_only_trials_that_ended_well_count_in_a_mean():
    stopped, failed = trial("a", 2, 0.9, state="stopped"), trial("a", 3, 0.9, state="failed")
    (point,) = points_of([*seeds("a", 0.2, 0.4), stopped, failed, trial("a", 4, math.nan)])
    assert point.finished == {0: 0.2, 1: 0.4}
    assert point.estimate.mean == pytest.approx(0.3)
    assert [point.count(state) for state in ("done", "stopped", "failed")] == [3, 1, 1]


def test_a_point_of_stopped_trials_keeps_their_score_and_one_of_failed_trials_has_none():
    stopped, failed = points_of([trial("a", 0, 0.9, state="stopped"), trial("b", 0, 0.9, state="failed")])
    assert (stopped.state, stopped.estimate.mean, stopped.finished) == ("stopped", 0.9, {})
    assert (failed.state, failed.estimate) == ("failed", None)
    assert score_of(failed.trials[0]) is None


def test_declared_variants_come_in_their_order_whatever_the_order_of_trials():
    results = [trial("p1", variant="coat"), trial("p2"), trial("p0", variant="sft")]
    assert [point.label for point in points_of(results, ["sft", "coat"])] == ["sft", "coat", "p2"]


def test_two_trials_of_one_seed_are_refused():
    with pytest.raises(ValueError, match="'a' has two trials of one seed"):
        points_of([trial("a", 0, trial="x"), trial("a", 0, trial="y")])


def test_trials_of_a_point_that_changed_different_things_are_refused():
    with pytest.raises(ValueError, match="differ in more than their seed"):
        points_of([trial("a", 0, params={"optim.lr": 1}), trial("a", 1, params={"optim.lr": 2})])


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_best_score_wins_in_the_direction_of_the_objective(order):
    results = [trial("a", score=0.3), trial("b", score=0.7), trial("c", score=0.5)]
    points = points_of([results[i] for i in order])
    assert best_point(points, ACCURACY).name == "b"
    assert best_point(points, LOSS).name == "a"
    assert [point.name for point in ranking(points, ACCURACY)] == ["b", "c", "a"]


def test_ties_go_to_the_shorter_step_and_then_to_the_name():
    slow = seeds("a", 0.1, 0.3, step_seconds=2.0)
    assert best_point(points_of([*slow, *seeds("b", 0.2, 0.2, step_seconds=1.0)]), ACCURACY).name == "b"
    assert best_point(points_of([*seeds("c", 0.2, 0.2, step_seconds=2.0), *slow]), ACCURACY).name == "a"
    assert best_point(points_of([*seeds("a", 0.2, 0.2), *seeds("b", 0.3, 0.1, step_seconds=9.0)]), ACCURACY).name == "b"


def test_stopped_points_are_never_best_unless_nothing_else_is_there():
    stopped, failed = trial("a", score=0.9, state="stopped"), trial("f", score=0.95, state="failed")
    assert best_point(points_of([stopped, failed, trial("b", score=0.1)]), ACCURACY).name == "b"
    assert best_point(points_of([stopped, failed]), ACCURACY).name == "a"
    assert best_point(points_of([failed]), ACCURACY) is None


def test_a_better_mean_over_fewer_seeds_is_named_but_not_best():
    points = points_of([*seeds("many", 0.5, 0.5, 0.5), trial("lucky", score=0.9), trial("poor", score=0.1)])
    best = best_point(points, ACCURACY)
    assert best.name == "many"
    assert [point.name for point in luckier(points, best, ACCURACY)] == ["lucky"]
    assert [point.name for point in luckier(points, best, LOSS)] == ["poor"]


def test_the_untrained_base_is_never_the_best_run():
    base = trial("base", score=0.9, steps=0)
    points = points_of([base, trial("trained", score=0.5)])
    assert best_point(points, ACCURACY).name == "trained"
    assert [point.name for point in luckier(points, best_point(points, ACCURACY), ACCURACY)] == ["base"]
    assert best_point(points_of([base]), ACCURACY) is None


def test_the_untrained_base_is_subtracted_from_every_seed():
    base, sft = points_of([trial("base", score=0.2, steps=0), *seeds("sft", 0.5, 0.7, 0.6)])
    change = difference(sft, base).change
    assert (change.mean, change.n) == (pytest.approx(0.4), 3)
    assert change.interval == estimate([0.5 - 0.2, 0.7 - 0.2, 0.6 - 0.2]).interval
    assert difference(base, sft).change.mean == pytest.approx(-0.4)


def test_the_front_holds_what_no_other_point_beats_in_both():
    placed = {"quick": (1.0, 0.3), "middle": (2.0, 0.5), "beaten": (2.5, 0.4), "slow": (4.0, 0.6), "same": (4.0, 0.6)}
    results = [trial(name, score=score, step_seconds=cost) for name, (cost, score) in placed.items()]
    stopped = trial("stopped", score=0.9, state="stopped", step_seconds=0.1)
    points = points_of([*results, stopped, trial("untimed", score=0.9)])
    assert [point.name for point in pareto_front(points, ACCURACY)] == ["quick", "middle", "same", "slow"]


def test_a_difference_is_paired_by_seed_as_in_scipys_paired_test():
    first, second = [0.50, 0.62, 0.55, 0.70], [0.54, 0.65, 0.61, 0.72]
    theirs = scipy.stats.ttest_rel(second, first).confidence_interval(0.95)
    a, b = points_of([*seeds("a", *first), *reversed(seeds("b", *second))])
    change = difference(b, a).change
    assert change.mean == pytest.approx(0.0375)
    assert (change.interval.low, change.interval.high) == pytest.approx((theirs.low, theirs.high))
    assert change.excludes_zero
    unpaired = scipy.stats.ttest_ind(second, first).confidence_interval(0.95)
    assert unpaired.low < 0, "the example must need the pairing"


def test_only_seeds_that_finished_in_both_make_a_difference():
    failed = trial("b", 1, 0.0, state="failed")
    a, b, c = points_of([*seeds("a", 0.2, 0.9), trial("b", 0, 0.3), failed, trial("c", 7, 0.3)])
    assert difference(b, a).change.mean == pytest.approx(0.1)
    assert difference(b, a).change.n == 1
    assert difference(c, a).change is None


def test_each_step_of_the_ladder_is_compared_with_the_one_before_and_with_the_first():
    points = points_of([trial("a", score=0.1), trial("b", score=0.3), trial("c", score=0.2)])
    steps = [[(s.variant, s.against, round(s.change.mean, 6)) for s in pair] for pair in ladder(points)]
    assert steps == [[("b", "a", 0.2), ("b", "a", 0.2)], [("c", "b", -0.1), ("c", "a", 0.1)]]
