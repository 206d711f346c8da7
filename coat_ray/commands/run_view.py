"""What ``coat runs show`` prints for people: facts and last figures side by side, and a small plot of each loss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from coat_ray.registry.curves import Curve, loss_curves, text_plot, value_range

WIDTH_UNWATCHED = 200
PLOT_WIDTH, GAP = 26, 2


@dataclass(frozen=True)
class Shown:
    """A column: one arm of a run. ``steps`` is how many it trains, ``rows`` are its metrics."""

    name: str
    arm: str
    facts: Mapping[str, str]
    steps: int
    rows: Sequence[Mapping[str, Any]]


def total_steps(config: Mapping[str, Any]) -> int:
    """How many steps one arm of a run's configuration trains."""
    return sum(stage["steps"] for stage in config["stages"])


def print_runs(shown: Sequence[Shown]) -> None:
    """Print facts, last figures and curves. Several share their axes."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH_UNWATCHED
    console.print(_facts(shown))
    curves = [loss_curves(one.rows) for one in shown]
    if not any(curves):
        console.print("nothing has been logged yet")
        return
    plots = list(_plots(shown, curves))
    columns = len(shown) if len(shown) > 1 else max(1, console.width // (PLOT_WIDTH + GAP))
    grid = Table.grid(padding=(1, GAP, 0, 0))
    for start in range(0, len(plots), columns):
        grid.add_row(*plots[start : start + columns])
    console.print(grid)


def _facts(shown: Sequence[Shown]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("run", no_wrap=True)
    for one in shown:
        table.add_column(Text(one.name), overflow="fold")
    for fact in dict.fromkeys(fact for one in shown for fact in one.facts):
        table.add_row(fact, *(Text(one.facts.get(fact, "-")) for one in shown))
    last = [one.rows[-1] if one.rows else {} for one in shown]
    table.add_row("step", *(f"{row.get('step', 0)} of {one.steps}" for row, one in zip(last, shown, strict=True)))
    for key in dict.fromkeys(key for row in last for key in row if key != "step"):
        table.add_row(key, *(_figure(row.get(key)) for row in last))
    return table


def _plots(shown: Sequence[Shown], curves: Sequence[Mapping[str, Curve]]) -> Iterator[Group]:
    """Term by term, a plot for each run; a run without the term keeps its place empty."""
    last_step = max(curve.steps[-1] for part in curves for curve in part.values())
    for term in dict.fromkeys(term for part in curves for term in part):
        low, high = value_range([part[term] for part in curves if term in part])
        for one, part in zip(shown, curves, strict=True):
            if term not in part:
                yield Group("")
                continue
            owner = f" · {one.name}" if len(shown) > 1 else ""
            plot = text_plot(part[term], last_step, low, high, width=PLOT_WIDTH)
            title = f"{term} {part[term].values[-1]:.4g}{owner}"
            yield Group(Text(title, style="bold"), Text(f"{plot}\n{low:.4g} … {high:.4g}, step 0 … {last_step}"))


def _figure(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
