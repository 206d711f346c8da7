"""Hold an engine between two steps, so that a test says what happens there."""

from __future__ import annotations

import threading
from collections.abc import Callable

from coat_ray.inference.engine import Engine


class Steps:
    """Runs ``act`` on the engine's thread after its n-th step, and remembers how many rows ran together."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.count, self.most_rows = engine, 0, 0
        self._acts: dict[int, Callable[[], None]] = {}
        self._step = engine._runner.step
        engine._runner.step = self._counted  # type: ignore[method-assign]

    def after(self, n: int, act: Callable[[], None]) -> None:
        self._acts[n] = act

    def hold_after(self, n: int) -> tuple[threading.Event, threading.Event]:
        """(set when the engine stands still, set to let it go on)."""
        reached, go_on = threading.Event(), threading.Event()

        def hold() -> None:
            reached.set()
            assert go_on.wait(60)

        self.after(n, hold)
        return reached, go_on

    def _counted(self) -> None:
        self.most_rows = max(self.most_rows, len(self.engine._runner.rows))
        self._step()
        self.count += 1
        self._acts.pop(self.count, lambda: None)()
