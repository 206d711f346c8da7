"""What an encode run tells a person: lines while it works, a table when it is done."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from rich import box
from rich.console import Console
from rich.table import Table

from coat_ray.targets.quarantine import QuarantineRow

_SHOWN = 5  # refused clips in the summary


@dataclass(frozen=True)
class EncodeProgress:
    """Where a run stands. Clips that were complete before it began are not counted."""

    clips_done: int
    clips_total: int
    stored: int
    quarantined: int
    seconds: float


OnProgress = Callable[[EncodeProgress], None]


@dataclass(frozen=True)
class ExpertReport:
    """One role: ``present`` clips have targets now, ``stored`` of them since this run; ``seconds`` of encoder time."""

    model: str
    fingerprint: str
    width: int
    rate: float
    present: int
    stored: int
    quarantined: int
    seconds: float


@dataclass(frozen=True)
class EncodeReport:
    """Outcome of ``encode_corpus``. ``clips`` are different signals; ``files`` and ``bad_files`` are paths."""

    files: int
    bad_files: int
    clips: int
    decoded: int
    seconds: float
    experts: dict[str, ExpertReport]
    quarantine: list[QuarantineRow] = field(default_factory=list)

    @property
    def fingerprints(self) -> dict[str, str]:
        """Role -> fingerprint of its target dataset, for ``TargetStore.dataset``."""
        return {role: expert.fingerprint for role, expert in self.experts.items()}

    @property
    def undecodable(self) -> set[str]:
        """Files without a clip, so that every row that names one is unusable."""
        return {row.uri for row in self.quarantine if row.clip_id is None}

    def print(self, console: Console) -> None:
        """Print the table, and why clips went into quarantine."""
        title = f"Targets of {self.clips} clips in {self.files} files, {self.seconds:.1f} s"
        table = Table(title=title, title_justify="left", box=box.SIMPLE, padding=(0, 1, 0, 0))  # fits 80 columns
        for name in ("role", "targets"):
            table.add_column(name, no_wrap=True)
        for name in ("width", "Hz", "clips", "new", "refused", "s"):
            table.add_column(name, justify="right", no_wrap=True)
        for role, expert in self.experts.items():
            counts = (expert.width, f"{expert.rate:g}", expert.present, expert.stored, expert.quarantined)
            name = f"{expert.model}-{expert.fingerprint[:8]}"
            table.add_row(role, name, *map(str, counts), f"{expert.seconds:.1f}")
        console.print(table)
        if self.quarantine:
            reasons = Counter(row.reason for row in self.quarantine)
            console.print("quarantine: " + ", ".join(f"{count} {reason}" for reason, count in reasons.most_common()))
            for row in self.quarantine[:_SHOWN]:
                console.print(f"  {_on_one_line(f'{row.uri}: {row.message}')}", highlight=False, markup=False)
            if len(self.quarantine) > _SHOWN:
                console.print(f"  and {len(self.quarantine) - _SHOWN} more")


def _on_one_line(text: str) -> str:
    """File names may hold line breaks and escape codes."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


class LineProgress:
    """Prints a line every few seconds, which reads well in a job's log too."""

    def __init__(self, console: Console, every: float = 3.0) -> None:
        self._console, self._every, self._last = console, every, 0.0

    def __call__(self, progress: EncodeProgress) -> None:
        """Print *progress* unless a line was printed just now; the last line always comes."""
        last_line = progress.clips_done >= progress.clips_total
        if not last_line and time.monotonic() - self._last < self._every:
            return
        self._last = time.monotonic()
        speed = progress.clips_done / max(progress.seconds, 1e-9)
        left = (progress.clips_total - progress.clips_done) / speed if progress.clips_done else float("nan")
        self._console.print(
            f"encode {progress.clips_done}/{progress.clips_total} clips, {speed:.1f} clips/s, "
            f"{progress.seconds:.0f} s gone, about {left:.0f} s left, {progress.quarantined} quarantined",
            highlight=False,
        )
