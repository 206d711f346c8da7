"""The thread that works ahead."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from coat_ray.training.prefetch import prefetch


def test_values_come_in_order_and_all_of_them() -> None:
    assert list(prefetch(iter(range(50)))) == list(range(50))


def test_the_maker_is_at_most_depth_values_ahead() -> None:
    made = []

    def make() -> Iterator[int]:
        for value in range(20):
            made.append(value)
            yield value

    with closing(prefetch(make(), depth=2)) as values:
        next(values)
        time.sleep(0.3)
        assert made == [0, 1, 2, 3]  # one taken, two waiting, one in hand


def test_an_error_is_raised_where_its_value_would_be() -> None:
    def make() -> Iterator[int]:
        yield 1
        raise ValueError("row 7 cannot be read")

    values = prefetch(make())
    assert next(values) == 1
    with pytest.raises(ValueError, match="row 7 cannot be read"):
        next(values)


def test_leaving_early_ends_the_thread() -> None:
    before = threading.active_count()
    with closing(prefetch(iter(range(10**9)))) as values:
        next(values)
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
