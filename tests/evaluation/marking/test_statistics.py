"""Paired tests and F1 beside independent implementations."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from coat_ray.evaluation.marking.f1 import weighted_f1
from coat_ray.evaluation.marking.marks import Mark
from coat_ray.evaluation.marking.significance import mcnemar

LABELS = ("joy", "anger", "neutral")


def marks(bits: list[int]) -> list[Mark]:
    return [Mark(bit, 1) for bit in bits]


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_mcnemar_is_the_binomial_test_of_the_questions_that_only_one_got_right(pairs) -> None:
    found = mcnemar(marks([a for a, _ in pairs]), marks([b for _, b in pairs]))
    b = sum(x and not y for x, y in pairs)
    c = sum(y and not x for x, y in pairs)
    assert (found.only_first, found.only_second) == (b, c)
    expected = min(1.0, 2 * scipy.stats.binom.cdf(min(b, c), b + c, 0.5)) if b + c else 1.0
    assert found.p_value == pytest.approx(expected)


def test_mcnemar_of_ten_against_two() -> None:
    assert mcnemar(marks([1] * 10 + [0] * 2), marks([0] * 10 + [1] * 2)).p_value == pytest.approx(0.03857, abs=1e-5)


def test_mcnemar_refuses_different_questions() -> None:
    with pytest.raises(ValueError, match="not of the same questions"):
        mcnemar(marks([1]), marks([1, 0]))


@given(st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from([*LABELS, None])), min_size=1, max_size=40))
def test_weighted_f1_is_sklearns_with_the_unreadable_as_a_class_of_its_own(pairs) -> None:
    right, said = [r for r, _ in pairs], [s for _, s in pairs]
    value, interval = weighted_f1(right, said, range(len(right)), LABELS, resamples=50)
    expected = f1_score(right, [s or "?" for s in said], labels=LABELS, average="weighted", zero_division=0)
    assert value == pytest.approx(expected)
    assert interval.low <= interval.high


def test_the_interval_of_f1_is_that_of_a_plain_bootstrap_with_sklearn() -> None:
    rng = np.random.default_rng(3)
    right = [LABELS[i] for i in rng.integers(0, 3, 120)]
    said = [label if rng.random() < 0.7 else "joy" for label in right]
    _, interval = weighted_f1(right, said, range(120), LABELS, resamples=4000)
    values = []
    for _ in range(400):
        draw = rng.integers(0, 120, 120)
        values.append(f1_score([right[i] for i in draw], [said[i] for i in draw], average="weighted"))
    low, high = np.percentile(values, [2.5, 97.5])
    assert interval.low == pytest.approx(low, abs=0.02)
    assert interval.high == pytest.approx(high, abs=0.02)


def test_f1_refuses_nothing_and_unknown_classes() -> None:
    with pytest.raises(ValueError, match="at least one"):
        weighted_f1([], [], [], LABELS)
    with pytest.raises(ValueError, match="'fear'"):
        weighted_f1(["fear"], [None], [0], LABELS)
