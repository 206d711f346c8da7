"""One job on a cluster of its own: ``python -m coat_ray.local.job python jobs/train.py --config …`` is `make train`."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from coat_ray.local.cluster import ClusterError, local_cluster, say


def main(arguments: Sequence[str]) -> int:
    """Run one job on a cluster of its own; 0, 1 when it failed, 2 without a command, 130 when interrupted."""
    if not arguments:
        say("usage: python -m coat_ray.local.job COMMAND …, for example python jobs/train.py --config FILE")
        return 2
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        say("starting a local Ray")
        with local_cluster() as cluster:
            cluster.submit(arguments, Path.cwd())
    except KeyboardInterrupt:
        say("interrupted; the same command continues where this one stopped")
        return 130
    except ClusterError as error:
        say(str(error))
        return 1
    return 0


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
