"""Ray Data as a part of other work: within limits, in order where that matters, and quiet."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from ray.data import DataContext, ExecutionResources


@contextmanager
def quiet_ray_data(limits: ExecutionResources, may_lose: int, *, ordered: bool) -> Iterator[None]:
    """Ray Data within limits, without its bars and notes, which fill a job's log; it may lose so many blocks."""
    context, logger = DataContext.get_current(), logging.getLogger("ray.data")
    options = context.execution_options
    before_limits, before_order = options.resource_limits, options.preserve_order
    options.resource_limits, options.preserve_order = limits, ordered
    settings = {"enable_progress_bars": False, "print_on_execution_start": False, "max_errored_blocks": may_lose}
    before, level = {name: getattr(context, name) for name in settings}, logger.level
    for name, value in settings.items():
        setattr(context, name, value)
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            # Ray 2.60 announces the end of max_restarts in map_batches and has nothing in its place yet.
            warnings.filterwarnings("ignore", message="`ray_remote_args` is deprecated")
            yield
    finally:
        for name, value in before.items():
            setattr(context, name, value)
        options.resource_limits, options.preserve_order = before_limits, before_order
        logger.setLevel(level)
