"""Linear probes: what can be read off a hidden state by one linear map, how surely, and whether that goes with success.

A probe is scikit-learn's logistic regression on standardised states, with its default penalty; nothing is tuned, so
that no split is needed for it. It is fitted on clips of the training split and scored on those of the test split, which
share no voice, timbre, phrase or melody with them.

The control is Hewitt and Liang's (2019) in its strictest form: the same states with labels drawn evenly at random, for
fitting and for scoring. No probe can be right about these more often than one in K times in the long run, whatever its
capacity, so an interval that leaves 1/K out says that the scoring is broken.

Shapes: C clips, D hidden size, K classes, R draws of the control.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from coat_ray.evaluation.marking.metrics import Interval, percentile_interval, resampled_ratios

CONTROL_DRAWS = 10


@dataclass(frozen=True)
class Accuracy:
    """A share of right predictions with its 95 % bootstrap interval over clips."""

    value: float
    interval: Interval


@dataclass(frozen=True)
class ProbeScore:
    """How one probe did on held-out clips.

    ``constant``: the share that the most frequent class of the fitted clips has among the scored ones. ``confidence``
    (C,): the probability that the probe gives the true class.
    """

    accuracy: Accuracy
    constant: float
    classes: int
    fitted: int
    scored: int
    confidence: np.ndarray


@dataclass(frozen=True)
class Association:
    """Spearman's ρ between a probe's confidence and the model's success on the same clips, with its p-value.

    None where the model was right, or wrong, on all of them: nothing can go with that.
    """

    rho: float | None
    p: float | None
    success: float


def probe(
    x_fit_CD: np.ndarray, y_fit: Sequence[str], x_test_CD: np.ndarray, y_test: Sequence[str], seed: int = 0
) -> ProbeScore:
    """Fit a probe and score it on other clips.

    Raises:
        ValueError: fewer than two classes to tell apart.
    """
    labels_fit, labels_test = np.asarray(y_fit), np.asarray(y_test)
    model = _fitted(x_fit_CD, labels_fit, seed)
    classes = list(model.classes_)
    probabilities_CK = model.predict_proba(x_test_CD)
    hits = np.asarray(classes)[probabilities_CK.argmax(1)] == labels_test
    confidence = np.array(
        [
            row_K[classes.index(label)] if label in classes else 0.0
            for row_K, label in zip(probabilities_CK, y_test, strict=True)
        ]
    )
    names, counts = np.unique(labels_fit, return_counts=True)
    return ProbeScore(
        accuracy=_accuracy(hits[None], seed),
        constant=float((labels_test == names[counts.argmax()]).mean()),
        classes=len(names),
        fitted=len(labels_fit),
        scored=len(labels_test),
        confidence=confidence,
    )


def control(
    x_fit_CD: np.ndarray, x_test_CD: np.ndarray, classes: int, seed: int = 0, draws: int = CONTROL_DRAWS
) -> Accuracy:
    """The same probe on *classes* labels drawn at random; its long-run accuracy is 1 / *classes*."""
    rng = np.random.default_rng([seed, 1])
    hits_RC = []
    for _ in range(draws):
        y_fit, y_test = (rng.integers(classes, size=len(x)) for x in (x_fit_CD, x_test_CD))
        hits_RC.append(_fitted(x_fit_CD, y_fit, seed).predict(x_test_CD) == y_test)
    return _accuracy(np.stack(hits_RC), seed)


def association(confidence: np.ndarray, success: Sequence[bool]) -> Association:
    """Whether the model answers right where the probe is sure of the truth."""
    right = np.asarray(success, float)
    if len(set(right)) < 2 or len(set(confidence)) < 2:
        return Association(None, None, float(right.mean()))
    found = spearmanr(confidence, right)
    return Association(float(found.statistic), float(found.pvalue), float(right.mean()))


def _fitted(x_CD: np.ndarray, y: np.ndarray, seed: int) -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, random_state=seed)).fit(x_CD, y)


def _accuracy(hits_RC: np.ndarray, seed: int) -> Accuracy:
    """The mean over draws and clips; whole clips are resampled."""
    draws, clips = hits_RC.shape
    hits, totals = hits_RC.sum(0), np.full(clips, draws)
    ratios_R1 = resampled_ratios(hits, totals, ["all"] * clips, range(clips), seed=seed)  # type: ignore[arg-type]
    return Accuracy(float(hits_RC.mean()), percentile_interval(ratios_R1[:, 0]))
