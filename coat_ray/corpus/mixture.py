"""Which rows a run sees, how often, and in which order: a pure function of rows, shares and seed."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from coat_ray.corpus.manifest import Row


class MixtureError(ValueError):
    """Shares that the rows cannot give."""


def sample_rows(
    rows: Sequence[Row],
    shares: Mapping[str, float] | None,
    num_rows: int,
    seed: int,
    max_repeats: int | None = None,
) -> list[Row]:
    """Draw *num_rows* rows in a random order.

    Each group is gone through in shuffled rounds: no row comes a second time before all of its group came once.

    Args:
        rows: what there is.
        shares: task -> share of the result, scaled to add up to 1, exact to one row; tasks that are left out do not
            occur. None takes all rows as one group.
        num_rows: length of the result.
        seed: the same seed gives the same rows in the same order.
        max_repeats: how often a row may occur; None sets no bound.

    Raises:
        MixtureError: no rows, an unknown task, a share that is no positive number, or too few rows for *max_repeats*.
    """
    if not rows:
        raise MixtureError("there are no rows to sample from")
    groups = {"all": list(rows)} if shares is None else _by_task(rows, shares)
    counts = _apportion({"all": 1.0} if shares is None else shares, num_rows)
    drawn: list[Row] = []
    for place, task in enumerate(sorted(groups)):
        rng = np.random.default_rng([seed, place])
        drawn += _rounds(groups[task], counts[task], rng, task, max_repeats)
    order = np.random.default_rng([seed, len(groups)]).permutation(len(drawn))
    return [drawn[int(i)] for i in order]


def _by_task(rows: Sequence[Row], shares: Mapping[str, float]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.task is not None:
            found[row.task].append(row)
    for task, share in shares.items():
        if task not in found:
            near = difflib.get_close_matches(task, sorted(found), n=1, cutoff=0.5)
            raise MixtureError(
                f"no row has the task {task!r}; the rows have {', '.join(sorted(found)) or 'no tasks'}"
                + (f"; did you mean {near[0]!r}?" if near else "")
            )
        if not (np.isfinite(share) and share > 0):
            raise MixtureError(
                f"the share of {task!r} must be a positive number, not {share}; leave out what is unwanted"
            )
    if not shares:
        raise MixtureError("the mixture names no task")
    return {task: found[task] for task in shares}


def _apportion(shares: Mapping[str, float], num_rows: int) -> dict[str, int]:
    """Whole numbers that add up to *num_rows*: round down, then serve the largest remainders."""
    total = sum(shares.values())
    exact = {task: num_rows * share / total for task, share in shares.items()}
    counts = {task: int(value) for task, value in exact.items()}
    by_remainder = sorted(shares, key=lambda task: (counts[task] - exact[task], task))
    for task in by_remainder[: num_rows - sum(counts.values())]:
        counts[task] += 1
    return counts


def _rounds(rows: list[Row], count: int, rng: np.random.Generator, task: str, max_repeats: int | None) -> list[Row]:
    if max_repeats is not None and count > max_repeats * len(rows):
        raise MixtureError(
            f"{count} rows of {task!r} are wanted; its {len(rows)} rows, each at most {max_repeats} times, "
            f"give {max_repeats * len(rows)}"
        )
    drawn: list[Row] = []
    while len(drawn) < count:
        drawn += [rows[int(i)] for i in rng.permutation(len(rows))]
    return drawn[:count]
