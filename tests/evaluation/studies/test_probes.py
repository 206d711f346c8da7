"""Linear probes on made-up states whose answer is known, and the control that must be at chance."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from coat_ray.evaluation.studies.probes import association, control, probe

CLASSES = ("a", "b", "c", "d")


def states(seed: int, signal: float, clips: int = 160) -> tuple[np.ndarray, list[str]]:
    """Noise of 12 dimensions; *signal* moves each class along a dimension of its own."""
    rng = np.random.default_rng(seed)
    numbers = rng.integers(4, size=clips)
    x = rng.standard_normal((clips, 12)).astype(np.float32)
    x[np.arange(clips), numbers] += signal
    return x, [CLASSES[i] for i in numbers]


def test_what_is_there_is_read():
    score = probe(*states(0, 6.0), *states(1, 6.0))
    assert score.accuracy.value > 0.95
    assert score.accuracy.interval.low <= score.accuracy.value <= score.accuracy.interval.high
    assert (score.classes, score.fitted, score.scored) == (4, 160, 160)


def test_what_is_not_there_is_not_read():
    score = probe(*states(0, 0.0), *states(1, 0.0))
    assert score.accuracy.interval.low < 0.25 < score.accuracy.interval.high


def test_it_is_scikit_learns_own_probe():
    (x_fit, y_fit), (x_test, y_test) = states(2, 1.5), states(3, 1.5)
    scaler = StandardScaler().fit(x_fit)
    model = LogisticRegression(max_iter=2000).fit(scaler.transform(x_fit), y_fit)
    score = probe(x_fit, y_fit, x_test, y_test)
    assert score.accuracy.value == pytest.approx(model.score(scaler.transform(x_test), y_test))
    probabilities = model.predict_proba(scaler.transform(x_test))
    expected = probabilities[np.arange(len(y_test)), [CLASSES.index(y) for y in y_test]]
    np.testing.assert_allclose(score.confidence, expected, rtol=1e-4)


def test_the_most_frequent_class_is_that_of_the_fitted_clips():
    (x_fit, _), (x_test, _) = states(0, 0.0), states(1, 0.0, clips=40)
    score = probe(x_fit, ["a"] * 100 + ["b"] * 60, x_test, ["a"] * 10 + ["b"] * 30)
    assert score.constant == 0.25


def test_a_class_that_was_never_fitted_is_never_right():
    (x_fit, y_fit), (x_test, _) = states(0, 6.0), states(1, 6.0, clips=20)
    score = probe(x_fit, y_fit, x_test, ["e"] * 20)
    assert score.accuracy.value == 0
    assert score.confidence.max() == 0


def test_random_labels_are_at_chance_and_the_interval_says_so():
    """However much the states hold: of twelve 95 % intervals, nine or more must hold one in four."""
    inside = []
    for seed in range(12):
        found = control(states(seed, 6.0)[0], states(100 + seed, 6.0)[0], 4, seed, draws=5)
        inside.append(found.interval.low <= 0.25 <= found.interval.high)
        assert found.value == pytest.approx(0.25, abs=0.06)
        assert found.interval.high - found.interval.low < 0.12
    assert sum(inside) >= 9


def test_a_probe_scored_on_what_it_was_fitted_on_would_miss_chance():
    """What the control guards against: with few clips a probe learns random labels by heart."""
    rng = np.random.default_rng(0)
    x, labels = states(5, 0.0, clips=30)[0], [CLASSES[i] for i in rng.integers(4, size=30)]
    assert probe(x, labels, x, labels).accuracy.interval.low > 0.4


def test_association_is_spearmans():
    rng = np.random.default_rng(0)
    confidence, success = rng.random(60), rng.random(60) < 0.5
    found = association(confidence, list(success))
    ranks = np.corrcoef(rankdata(confidence), rankdata(success))[0, 1]
    assert found.rho == pytest.approx(ranks)
    assert found.success == success.mean()


def test_nothing_goes_with_a_model_that_is_always_right():
    assert association(np.linspace(0, 1, 10), [True] * 10).rho is None
