"""Importance is a share of rank variance that agrees with Kruskal and Wallis, and chance is not mistaken for it."""

import numpy as np
import pytest
import scipy.stats

from sweeps.estimates import points_of
from sweeps.importance import importances, parts, varied
from sweeps.record import Objective

from .objects import trial

ACCURACY = Objective()


def _points(scores, **columns):
    rows = zip(*columns.values(), strict=True)
    params = [dict(zip(columns, row, strict=True)) for row in rows]
    return points_of([trial(f"p{i}", score=s, params=p) for i, (s, p) in enumerate(zip(scores, params, strict=True))])


def test_the_share_of_a_choice_is_that_of_kruskal_and_wallis():
    scores = [0.1, 0.5, 0.3, 0.3, 0.9, 0.7, 0.2]
    kinds = ["a", "b", "a", "b", "c", "c", "a"]
    (found,) = importances(_points(scores, kind=kinds), ACCURACY)
    groups = [[s for s, k in zip(scores, kinds, strict=True) if k == kind] for kind in "abc"]
    assert found.share == pytest.approx(scipy.stats.kruskal(*groups).statistic / (len(scores) - 1))
    assert found.trend is None


def test_the_trend_of_a_number_is_spearmans_towards_better_scores():
    scores, rates = [0.1, 0.5, 0.3, 0.35, 0.9], [1e-4, 1e-2, 1e-3, 3e-4, 1e-1]
    expected = scipy.stats.spearmanr(rates, scores).statistic
    (up,) = importances(_points(scores, lr=rates), ACCURACY)
    (down,) = importances(_points(scores, lr=rates), Objective(minimise=True))
    assert (up.trend, down.trend) == pytest.approx((expected, -expected))


def test_what_decides_is_told_from_what_does_not():
    rng = np.random.default_rng(3)
    weights, idle = 10.0 ** rng.uniform(-2, 1, 40), rng.uniform(size=40)
    scores = 0.5 + 0.1 * np.log10(weights) + rng.normal(0, 0.01, 40)
    first, second = importances(_points(scores.tolist(), idle=idle.tolist(), weight=weights.tolist()), ACCURACY)
    assert (first.param, first.readable, second.param, second.readable) == ("weight", True, "idle", False)
    assert first.share > 0.8


def test_an_optimum_in_the_middle_is_seen_though_it_has_no_trend():
    weights = [float(n) for n in range(-10, 11)]
    (found,) = importances(_points([-(w**2) for w in weights], weight=weights), ACCURACY)
    assert abs(found.trend) < 0.05
    assert found.readable


def test_a_choice_of_its_own_at_every_point_says_nothing():
    (found,) = importances(_points([0.1, 0.2, 0.3, 0.4], kind=["a", "b", "c", "d"]), ACCURACY)
    assert (found.share, found.chance) == (1.0, 1.0)
    assert not found.readable


def test_equal_scores_have_no_share_and_no_trend():
    (found,) = importances(_points([0.5] * 4, lr=[1, 2, 1, 2]), ACCURACY)
    assert (found.share, found.trend, found.readable) == (0.0, None, False)


def test_two_points_have_no_importances_and_failed_ones_do_not_count():
    failed = trial("f", score=0.1, state="failed", params={"lr": 3})
    points = points_of([trial("a", score=0.1, params={"lr": 1}), trial("b", score=0.2, params={"lr": 2}), failed])
    assert importances(points, ACCURACY) == []


def test_many_numbers_fall_into_thirds_and_few_keep_their_values():
    assert parts([9, 1, 2, 3, 4, 5, 6, 7, 8]).tolist() == [2, 0, 0, 0, 1, 1, 1, 2, 2]
    assert parts([0.0, 1.0, 10.0, 0.0, 1.0, 10.0]).tolist() == [0, 1, 2, 0, 1, 2]
    assert parts([True, False, True]).tolist() == [1, 0, 1]


def test_only_what_every_point_sets_and_not_all_alike_is_varied():
    results = [trial("a", params={"x": 1, "same": [1]}), trial("b", params={"x": 2, "same": [1], "more": 1})]
    assert varied(points_of(results)) == {"x": [1, 2]}
    assert varied([]) == {}
