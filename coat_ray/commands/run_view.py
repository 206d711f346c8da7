"""What ``coat runs show`` prints for people: records and last figures side by side, and a small plot of each loss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from coat_ray.registry.curves import Curve, loss_curves, text_plot, value_range

if TYPE_CHECKING:
    from coat_ray.registry.runs import RunRecord

WIDTH_UNWATCHED = 200
PLOT_WIDTH, GAP = 26, 2
FACTS = ("state", "arm", "seed", "created")


def print_runs(records: Sequence[RunRecord], rows: Sequence[Sequence[Mapping[str, Any]]]) -> None:
    """Print records, last figures and curves; *rows* holds each run's metrics. Several runs share their axes."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH_UNWATCHED
    console.print(_facts(records, rows))
    curves = [loss_curves(part) for part in rows]
    if not any(curves):
        console.print("nothing has been logged yet")
        return
    plots = list(_plots(records, curves))
    columns = len(records) if len(records) > 1 else max(1, console.width // (PLOT_WIDTH + GAP))
    grid = Table.grid(padding=(1, GAP, 0, 0))
    for start in range(0, len(plots), columns):
        grid.add_row(*plots[start : start + columns])
    console.print(grid)


def _facts(records: Sequence[RunRecord], rows: Sequence[Sequence[Mapping[str, Any]]]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("run", no_wrap=True)
    for record in records:
        table.add_column(Text(record.id), overflow="fold")
    for fact in FACTS:
        table.add_row(fact, *(Text(str(getattr(record, fact))) for record in records))
    table.add_row("commit", *(((record.git or {}).get("commit") or "-")[:8] for record in records))
    table.add_row("came out", *(Text(str(r.result.get("model") or r.result.get("error") or "-")) for r in records))
    last = [part[-1] if part else {} for part in rows]
    steps = [sum(stage["steps"] for stage in record.config["stages"]) for record in records]
    table.add_row("step", *(f"{row.get('step', 0)} of {total}" for row, total in zip(last, steps, strict=True)))
    for key in dict.fromkeys(key for row in last for key in row if key != "step"):
        table.add_row(key, *(_figure(row.get(key)) for row in last))
    return table


def _plots(records: Sequence[RunRecord], curves: Sequence[Mapping[str, Curve]]) -> Iterator[Group]:
    """Term by term, a plot for each run; a run without the term keeps its place empty."""
    last_step = max(curve.steps[-1] for part in curves for curve in part.values())
    for term in dict.fromkeys(term for part in curves for term in part):
        low, high = value_range([part[term] for part in curves if term in part])
        for record, part in zip(records, curves, strict=True):
            if term not in part:
                yield Group("")
                continue
            owner = f" · {record.id}" if len(records) > 1 else ""
            plot = text_plot(part[term], last_step, low, high, width=PLOT_WIDTH)
            title = f"{term} {part[term].values[-1]:.4g}{owner}"
            yield Group(Text(title, style="bold"), Text(f"{plot}\n{low:.4g} … {high:.4g}, step 0 … {last_step}"))


def _figure(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
