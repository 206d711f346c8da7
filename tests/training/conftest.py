"""A process group of one worker for tests that train in this process."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
import torch.distributed as dist


@pytest.fixture(scope="session")
def process_group() -> Iterator[None]:
    """One for the session: DeepSpeed keeps the first that it sees."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.fixture
def one_worker(process_group: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process as the only worker."""
    monkeypatch.setenv("LOCAL_RANK", "0")  # DeepSpeed asks for it; Ray Train sets it for its workers
