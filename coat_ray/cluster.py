"""The one place where this code joins a Ray cluster, and the settings that keep a Ray on one machine small."""

from __future__ import annotations

import logging
import os
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from coat_ray.storage import home

if TYPE_CHECKING:
    import torch

    from coat_ray.config import ResourcesConfig

T = TypeVar("T")

MIN_LOGICAL_CPUS = 6
"""Ray Data pools and Train workers wait for each other with fewer, whatever the machine has."""

OBJECT_STORE_BYTES = 500_000_000

LIGHT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_enable_metrics_collection": "0",
    "RAY_enable_worker_prestart": "0",
    "RAY_prestart_worker_first_driver": "0",
    "RAY_num_workers_soft_limit": "3",
    "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
}
"""Environment of a Ray on one machine: no worker before it is needed, few idle ones, a stop within seconds."""


def logical_cpus() -> int:
    """CPUs that a Ray on this machine should claim to have."""
    return max(MIN_LOGICAL_CPUS, os.cpu_count() or 1)


def private_token(folder: Path) -> dict[str, str]:
    """Environment for token authentication with a token that only this user can read; made once.

    Start, submit and connect must all state the mode: Ray's own default depends on whether some other Ray ever
    ran for this user.
    """
    path = folder / "token"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        pass
    else:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(path)}


@contextmanager
def connect(num_cpus: int | None = None, *, dashboard: bool = False) -> Iterator[None]:
    """Ray for the time of a ``with`` block.

    Inside a Ray job, or with ``$RAY_ADDRESS``: that cluster. Otherwise a small private one that ends with the block.
    A Ray that is already connected is used and left alone.
    """
    private = not os.environ.get("RAY_ADDRESS")
    if private and "ray" not in sys.modules:  # Ray reads how it authenticates when it is imported
        for key, value in {**LIGHT, **private_token(home() / "ray")}.items():
            os.environ.setdefault(key, value)
    import ray  # noqa: PLC0415 - heavy; `coat --help` must not pay for it

    if ray.is_initialized():
        yield
        return
    if not private:
        ray.init(logging_level=logging.WARNING)
    else:
        ray.init(
            address="local",
            num_cpus=num_cpus or logical_cpus(),
            object_store_memory=OBJECT_STORE_BYTES,
            include_dashboard=dashboard,
            logging_level=logging.WARNING,
        )
    try:
        yield
    finally:
        ray.shutdown()


def as_one_worker(resources: ResourcesConfig, work: Callable[[torch.device], T]) -> T:
    """Let a model answer with what one of its run's training workers had.

    Args:
        resources: of the run.
        work: gets the device; here and on the CPU if the run asks for no GPU, else in a process of the cluster.

    Returns:
        What *work* gives; it also raises what *work* raises.
    """
    from coat_ray.model.devices import device_of  # noqa: PLC0415 - torch is heavy

    device = device_of(resources.gpus_per_worker)
    if not resources.gpus_per_worker:
        return work(device)
    with connect():
        import ray  # noqa: PLC0415 - see connect

        remote = ray.remote(
            num_cpus=resources.cpus_per_worker,
            num_gpus=resources.gpus_per_worker,
            scheduling_strategy="DEFAULT",  # not inside the bundle of the trial that asks
            max_retries=0,
        )

        def ask() -> T:
            return work(device)

        try:
            return ray.get(remote(ask).remote())
        except ray.exceptions.RayTaskError as error:  # whose text is a traceback
            raise error.cause from None
