"""What every long job of this repository does around its work: signals, a console for a log, errors as sentences."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console

from coat_ray.client import PlatformError
from coat_ray.evaluation.asking.answers import EvaluationError
from coat_ray.leasing.keeper import GaveWay
from coat_ray.training.errors import TrainingStoppedError

INTERRUPTED = 130
LOG_WIDTH = 160
"""Columns of tables in a job's log, which has no terminal of its own."""


@contextmanager
def as_job() -> Iterator[Console]:
    """A console, and an end that a shell understands: 0, 2 after one sentence for a person, 130 when interrupted."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where an ancestor began in a script's background
    signal.signal(signal.SIGTERM, _interrupt)
    console = Console(soft_wrap=True, highlight=False)
    if not console.is_terminal:
        console.width = LOG_WIDTH
    try:
        yield console
    except KeyboardInterrupt:
        console.print("interrupted; the same command goes on where this one stopped")
        raise SystemExit(INTERRUPTED) from None
    except GaveWay:
        console.print("gave way to another run; the platform starts this one again when it is its turn")
    except (ValueError, OSError, EvaluationError, PlatformError, TrainingStoppedError) as error:
        Console(stderr=True, soft_wrap=True, highlight=False).print(str(error), markup=False)
        raise SystemExit(2) from error


def _interrupt(signum: int, frame: Any) -> None:  # noqa: ARG001 - the signature of a handler
    """Treat SIGTERM (``ray job stop``) like Ctrl-C, for which Ray Train has a handler of its own."""
    signal.raise_signal(signal.SIGINT)
