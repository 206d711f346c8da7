"""Weighted F1 of a classification, with its bootstrap interval.

Shapes: Q questions, K classes (the last one is "unreadable", which no question has), R resamples.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from coat_ray.evaluation.marking.metrics import RESAMPLES, Interval, percentile_interval


def weighted_f1(
    targets: Sequence[str],
    said: Sequence[str | None],
    clusters: Sequence[Hashable],
    labels: Sequence[str],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> tuple[float, Interval]:
    """F1 of each class, weighted by how often it is the right one, and its 95 % interval (bootstrap over clusters).

    Args:
        targets: the right class of each question.
        said: the class that an answer was read as; None is a class of its own, so an unreadable answer costs recall.
        clusters: questions with the same one are drawn together.
        labels: all classes.
        seed: of the draws.
        resamples: how many.

    Raises:
        ValueError: no questions, or a class outside *labels*.
    """
    if not targets:
        raise ValueError("F1 needs at least one question")
    places = {label: number for number, label in enumerate(labels)}
    if unknown := set(targets) - set(places):
        raise ValueError(f"classes {sorted(unknown)} are none of {list(labels)}")
    num_classes = len(labels) + 1
    cells_Q = np.array([places[t] * num_classes + places.get(s or "", len(labels)) for t, s in _zip(targets, said)])
    order: dict[Hashable, int] = {}
    clusters_Q = np.array([order.setdefault(cluster, len(order)) for cluster in clusters])
    counts = np.zeros((len(order), num_classes * num_classes))
    np.add.at(counts, (clusters_Q, cells_Q), 1)
    draws = np.random.default_rng(seed).multinomial(len(order), [1 / len(order)] * len(order), size=resamples)
    resampled_R = _f1((draws @ counts).reshape(resamples, num_classes, num_classes))
    value = float(_f1(counts.sum(0).reshape(1, num_classes, num_classes))[0])
    return value, percentile_interval(resampled_R)


def _zip(targets: Sequence[str], said: Sequence[str | None]) -> list[tuple[str, str | None]]:
    return list(zip(targets, said, strict=True))


def _f1(confusion_RKK: np.ndarray) -> np.ndarray:
    right_RK = np.diagonal(confusion_RKK, axis1=1, axis2=2)
    support_RK, said_RK = confusion_RKK.sum(2), confusion_RKK.sum(1)
    f1_RK = 2 * right_RK / np.maximum(support_RK + said_RK, 1)
    return (f1_RK * support_RK).sum(1) / support_RK.sum(1)
