"""Parts of batches that are left out because their loss is not finite: how many may be, and which rows they held."""

from __future__ import annotations

from collections.abc import Callable

from coat_ray.model.batch import Batch


class LeftOut:
    """A run's allowance. A part that is left out is so on every worker, with all its rows.

    Its tokens and positions still count in the means of its step, which is a smaller one.
    """

    def __init__(self, allowed: int, used: int = 0) -> None:
        self.used, self._allowed = used, allowed
        self._rows: list[tuple[int, list[str]]] = []

    def take(self, step: int, rows: list[str], stand_in: Callable[[], Batch]) -> Batch | None:
        """A batch without rows in place of the part with these, or None where no more may be left out."""
        if self.used >= self._allowed:
            return None
        self.used += 1
        self._rows.append((step, rows))
        return stand_in()

    def since_last_line(self) -> dict[str, list[tuple[int, list[str]]]]:
        """For the log: (step, rows) of each part since the last call, empty where there was none."""
        rows, self._rows = self._rows, []
        return {"left_out": rows} if rows else {}
