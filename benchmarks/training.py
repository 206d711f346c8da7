"""How well training uses a machine, and what the published size takes on a GPU.

``python -m benchmarks.training [--only NAME …] [--device cuda] [--size tiny]``. Every figure is a ratio of measurements
of this one run; ``gpu`` also states samples/s and MFU, ``answers`` milliseconds. Each measured side runs in a process
of its own with one thread; first steps are left out, and times are medians over steps. The files behind
``MEASUREMENTS`` say what is compared and how.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks.block import block
from benchmarks.effort import EFFORTS, Options
from benchmarks.full_size import gpu
from benchmarks.full_size_answers import answers
from benchmarks.loop import overhead, scaling
from benchmarks.measure import Line, show
from benchmarks.trainer import trainer

MEASUREMENTS: dict[str, Callable[[Path, Options], Iterable[Line]]] = {
    "trainer": trainer,
    "block": block,
    "overhead": overhead,
    "scaling": scaling,
    "gpu": gpu,
    "answers": answers,
}


def main() -> None:
    """Run the chosen measurements and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=list(MEASUREMENTS), default=list(MEASUREMENTS))
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="of gpu and answers")
    parser.add_argument("--size", choices=list(EFFORTS), default="full", help="tiny: to see that it runs, not how fast")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # for every process that starts from here
    show("training", arguments.only, MEASUREMENTS, Options(arguments.device, EFFORTS[arguments.size]))


if __name__ == "__main__":
    main()
