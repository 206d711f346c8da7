"""``python -m benchmarks.serving [--only NAME …]``: see ``measurements``."""

from __future__ import annotations

import argparse

from benchmarks.measure import show
from benchmarks.serving.measurements import MEASUREMENTS


def main() -> None:
    """Run the chosen measurements and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=list(MEASUREMENTS), default=list(MEASUREMENTS))
    show("serving", parser.parse_args().only, MEASUREMENTS)


if __name__ == "__main__":
    main()
