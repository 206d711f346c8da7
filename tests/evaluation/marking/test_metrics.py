"""Metrics against independent computations: scipy, a plain edit distance, jiwer's corpus figure, written answers."""

import jiwer
import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from coat_ray.evaluation.marking.metrics import (
    Interval,
    exact_match,
    normalise,
    percentile_interval,
    resampled_ratios,
    wilson,
    word_errors,
)

words = st.lists(st.sampled_from(["red", "bird", "sings", "the", "boat"]), max_size=8).map(" ".join)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The red bird sings.", "the red bird sings"),
        ("  two\tspaces \n here ", "two spaces here"),
        ("C#", "c sharp"),
        ("F♯ then B♭", "f sharp then b flat"),
        ("don't", "dont"),
        ("don\u2019t", "dont"),
        ("well-known", "well known"),
        ("3.5", "3 5"),
        ("rock & roll", "rock and roll"),
        ("\uff26\uff2c\uff35\uff34\uff25", "flute"),
        ("Straße", "strasse"),
        ("…", ""),
    ],
)
def test_normalise_keeps_what_is_said(text: str, expected: str) -> None:
    assert normalise(text) == expected


@given(st.text())
def test_normalising_twice_changes_nothing(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once
    assert once == " ".join(once.split())


@pytest.mark.parametrize(
    ("reference", "answer", "right"),
    [
        ("c sharp", "C#", True),
        ("a dog", "A dog.", True),
        ("c", "c#", False),
        ("dog", "a dog", False),
        ("three", "3", False),
        ("", "", False),
        ("...", "", False),
    ],
)
def test_exact_match_forgives_only_case_and_punctuation(reference: str, answer: str, right: bool) -> None:
    assert exact_match(reference, answer) is right


def edit_distance(reference: list[str], answer: list[str]) -> int:
    row = list(range(len(answer) + 1))
    for i, word in enumerate(reference, start=1):
        before, row[0] = row[0], i
        for j, other in enumerate(answer, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (word != other))
    return row[-1]


@given(words, words)
def test_word_errors_are_the_edit_distance(reference: str, answer: str) -> None:
    assert word_errors(reference, answer) == (edit_distance(reference.split(), answer.split()), len(reference.split()))


@given(st.lists(st.tuples(words.filter(bool), words), min_size=1))
def test_summed_word_errors_are_the_corpus_wer_of_jiwer(pairs: list[tuple[str, str]]) -> None:
    counted = [word_errors(reference, answer) for reference, answer in pairs]
    ours = sum(errors for errors, _ in counted) / sum(total for _, total in counted)
    assert ours == pytest.approx(jiwer.wer([r for r, _ in pairs], [a for _, a in pairs]))


def test_word_errors_by_hand() -> None:
    assert word_errors("the red bird sings", "The bread bird sings!") == (1, 4)
    assert word_errors("the red bird sings", "") == (4, 4)
    assert word_errors("red", "the red red bird") == (3, 1)


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_scipys(counts: tuple[int, int]) -> None:
    right, n = counts
    expected = scipy.stats.binomtest(right, n).proportion_ci(method="wilson")
    assert wilson(right, n).low == pytest.approx(expected.low, abs=1e-12)
    assert wilson(right, n).high == pytest.approx(expected.high, abs=1e-12)


def test_wilson_of_eight_in_ten_as_in_the_textbooks() -> None:
    assert wilson(8, 10) == Interval(pytest.approx(0.4902, abs=5e-5), pytest.approx(0.9433, abs=5e-5))


@pytest.mark.parametrize(("right", "n"), [(0, 0), (3, 2), (-1, 4)])
def test_wilson_refuses_impossible_counts(right: int, n: int) -> None:
    with pytest.raises(ValueError, match="proportion"):
        wilson(right, n)


def test_the_bootstrap_agrees_with_scipys_percentile_bootstrap() -> None:
    rng = np.random.default_rng(1)
    totals = rng.integers(3, 9, size=150)
    errors = rng.binomial(totals, 0.3)
    ours = percentile_interval(resampled_ratios(errors, totals, ["asr"] * 150, range(150), resamples=4000)[:, 0])
    theirs = scipy.stats.bootstrap(
        (errors, totals),
        lambda e, t, axis: e.sum(axis) / t.sum(axis),
        paired=True,
        method="percentile",
        n_resamples=4000,
        rng=np.random.default_rng(2),
    ).confidence_interval
    assert ours.low == pytest.approx(theirs.low, abs=0.006)
    assert ours.high == pytest.approx(theirs.high, abs=0.006)


def test_the_bootstrap_repeats_itself_for_a_seed_and_only_then() -> None:
    arguments = ([1, 0, 1, 1], [1, 1, 1, 1], ["a", "a", "b", "b"], [0, 1, 2, 3])
    first, again, other = (resampled_ratios(*arguments, seed=seed) for seed in (7, 7, 8))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other, equal_nan=True)


def test_asking_every_question_twice_about_a_clip_does_not_narrow_its_interval() -> None:
    right = list(np.random.default_rng(0).integers(0, 2, size=60))
    once = percentile_interval(resampled_ratios(right, [1] * 60, ["t"] * 60, range(60))[:, 0])
    twice = percentile_interval(resampled_ratios(right * 2, [1] * 120, ["t"] * 120, [*range(60), *range(60)])[:, 0])
    assert twice == once


def test_a_group_without_a_draw_is_not_a_number_there() -> None:
    ratios_RG = resampled_ratios([1, 1], [1, 1], ["a", "b"], [0, 1], resamples=100)
    assert np.isnan(ratios_RG).any()
    assert set(ratios_RG[~np.isnan(ratios_RG)]) == {1.0}


def test_the_bootstrap_refuses_to_run_on_nothing() -> None:
    with pytest.raises(ValueError, match="at least one"):
        resampled_ratios([], [], [], [])
