"""Whether a test clip was trained on: equal clips across corpora, and sessions of IEMOCAP.

Equal means the same samples at 16 kHz. A clip that was cut or coded anew is another clip here; for IEMOCAP, names are
compared as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from coat_ray.corpus.manifest import Row
from coat_ray.evaluation.asking.answers import EvaluationError
from coat_ray.evaluation.clips import Clip

_SESSION = re.compile(r"ses(?:sion)?_?0?([1-5])(?!\d)", re.IGNORECASE)
HELD_OUT_SESSION = "5"
_SHOWN = 5


class LeakageError(EvaluationError):
    """Test clips that training has seen; the message names the first."""


@dataclass(frozen=True)
class Leak:
    """A test row whose clip stands in a training row, or why else it must not be asked."""

    test: str
    train: str
    why: str


def find_leaks(
    benchmark: str,
    test: Sequence[Row],
    test_clips: Mapping[str, Clip],
    train: Sequence[Row],
    train_clips: Mapping[str, Clip],
) -> list[Leak]:
    """Every leak from *train* into the questions of a benchmark."""
    seen = {train_clips[uri].id: row.id for row in train for uri in row.audios if train_clips[uri].id}
    leaks = [
        Leak(row.id, seen[test_clips[uri].id], "the same clip")
        for row in test
        for uri in row.audios
        if test_clips[uri].id in seen
    ]
    return leaks + (_iemocap(test, train) if benchmark == "iemocap" else [])


def _iemocap(test: Iterable[Row], train: Iterable[Row]) -> list[Leak]:
    trained = [row for row in train if "iemocap" in _names(row).lower() and HELD_OUT_SESSION in _sessions(row)]
    leaks = [Leak("", row.id, "session 5 of IEMOCAP is the test") for row in trained]
    return leaks + [
        Leak(row.id, "", f"session {', '.join(sorted(others))} of IEMOCAP is no test")
        for row in test
        if (others := _sessions(row) - {HELD_OUT_SESSION})
    ]


def _names(row: Row) -> str:
    return " ".join([row.id, row.dataset or "", *row.audios])


def _sessions(row: Row) -> set[str]:
    return set(_SESSION.findall(_names(row)))


def refuse_leaks(benchmark: str, leaks: Sequence[Leak]) -> None:
    """Stop where there is a leak.

    Raises:
        LeakageError: with the first of them.
    """
    if leaks:
        first = "; ".join(f"test {leak.test or '-'}, train {leak.train or '-'}: {leak.why}" for leak in leaks[:_SHOWN])
        raise LeakageError(
            f"{benchmark}: {len(leaks)} leaks from the training corpus into the test ({first}); remove the rows from "
            "training and train again, or pass --allow-leaks to score them all the same and say so in the report"
        )
