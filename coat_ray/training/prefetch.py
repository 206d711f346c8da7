"""A thread that works ahead, so that the next batch is ready when a step ends."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


def prefetch(values: Iterator[T], depth: int = 2) -> Generator[T, None, None]:
    """Run an iterator in a thread, at most *depth* values ahead; its error is raised where its value would be."""
    ready: queue.Queue[tuple[str, Any]] = queue.Queue(depth)
    closed = threading.Event()

    def put(kind: str, value: Any) -> bool:
        while not closed.is_set():
            try:
                ready.put((kind, value), timeout=0.2)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for value in values:
                if not put("value", value):
                    return
            put("end", None)
        except Exception as error:  # noqa: BLE001 - handed to the consumer, who raises it
            put("error", error)

    thread = threading.Thread(target=work, daemon=True, name="prefetch")
    thread.start()
    try:
        while (item := ready.get())[0] == "value":
            yield item[1]
        if item[0] == "error":
            raise item[1]
    finally:
        closed.set()
        thread.join()
