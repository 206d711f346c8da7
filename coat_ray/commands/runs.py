"""``coat runs``: what runs or waits on the platform; without one, or with ``--local``, the records of this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coat_ray.commands.output import AsJson, place, show_json, show_rows

if TYPE_CHECKING:
    from coat_ray.client import Client
    from coat_ray.commands.run_view import Shown
    from coat_ray.config import RunConfig, SweepConfig
    from coat_ray.registry.runs import RunRegistry

app = typer.Typer(no_args_is_help=True, help="Runs and their results.")

NOTHING_TRAINED = "nothing has been trained here yet; `make train` or `coat train CONFIG` does"
NOTHING_SUBMITTED = "no runs on the platform yet; `coat train CONFIG` submits one, `--local` shows this machine's"

RunId = Annotated[str, typer.Argument(metavar="ID", help="As `coat runs list` shows it.")]
Local = Annotated[bool, typer.Option("--local", help="This machine's records, whatever platform is configured.")]


@app.command("list")
def list_runs(
    *,
    state: Annotated[
        str | None, typer.Option(help="Only these, such as queued, running, done; on the platform.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="So many of the newest; on the platform.")] = 200,
    before: Annotated[
        str | None, typer.Option(metavar="ID", help="Older than this run: the next page; on the platform.")
    ] = None,
    local: Local = False,
    as_json: AsJson = False,
) -> None:
    """List runs, newest first."""
    if (client := _platform(local)) is not None:
        page = client.get("/runs", state=state, limit=limit, before=before)
        columns = ("id", "tenant", "state", "reason", "priority", "submitted_at")
        show_rows(page["data"], columns, as_json=as_json, empty=NOTHING_SUBMITTED)
        if page["next_before"] and not as_json:
            typer.echo(f"older ones: --before {page['next_before']}")
        return
    rows = [
        {**record.model_dump(mode="json"), "commit": ((record.git or {}).get("commit") or "-")[:8]}
        for record in _records().list()
    ]
    show_rows(rows, ("id", "arm", "state", "seed", "created", "commit"), as_json=as_json, empty=NOTHING_TRAINED)


@app.command()
def show(
    run_ids: Annotated[list[str], typer.Argument(metavar="ID...", help="As `coat runs list` shows them.")],
    *,
    png: Annotated[Path | None, typer.Option("--png", metavar="FILE", help="Draw the curves into a PNG.")] = None,
    local: Local = False,
    as_json: AsJson = False,
    metrics: Annotated[bool, typer.Option("--metrics", help="Also every logged step; implies --json.")] = False,
) -> None:
    """Show state, last figures and loss curves of one run, or of several on the same axes; at any moment of a run.

    The JSON of one run is an object, of several a list.
    """
    from coat_ray.commands.run_view import print_runs  # noqa: PLC0415 - `coat --help` must be instant
    from coat_ray.registry.curves import draw_curves, loss_curves  # noqa: PLC0415

    client = _platform(local)
    wanted = dict.fromkeys(run_ids)
    found = [_of_platform(client, run_id) if client else _of_record(_records(), run_id) for run_id in wanted]
    columns = [column for _, arms in found for column in arms]
    if png:
        draw_curves({column.name: loss_curves(column.rows) for column in columns}, png)
    if as_json or metrics:
        objects = [_json(plain, arms, whole=metrics, by_arm=client is not None) for plain, arms in found]
        show_json(objects if len(objects) > 1 else objects[0])
    else:
        print_runs(columns)
        if png:
            typer.echo(f"curves: {png}")


@app.command()
def watch(run_id: RunId) -> None:
    """Follow a run until it ends. Exit code: 0 done, 1 failed or stopped, 130 on Ctrl-C, which leaves the run alone."""
    from coat_ray.client import Client  # noqa: PLC0415 - `coat --help` must be instant
    from coat_ray.commands.run_watch import watch as follow  # noqa: PLC0415

    raise typer.Exit(follow(Client.required(), run_id, typer.echo))


@app.command()
def logs(
    run_id: RunId,
    *,
    tail: Annotated[int, typer.Option(min=1, max=100_000, help="So many of the last lines.")] = 1000,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Then every further line, until the run ends.")
    ] = False,
) -> None:
    """Print what a run's job printed."""
    from coat_ray.client import Client, part  # noqa: PLC0415 - `coat --help` must be instant

    place = f"/runs/{part(run_id)}/logs"
    for line in Client.required().stream(place, tail=tail, follow="true" if follow else None):
        typer.echo(line)


@app.command()
def report(
    run_id: RunId,
    *,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Default: ID.html.")] = None,
) -> None:
    """Get the report of a sweep that is done: one page that opens without network."""
    from coat_ray.client import Client, part  # noqa: PLC0415 - `coat --help` must be instant
    from coat_ray.storage import atomic_write  # noqa: PLC0415

    page = Client.required().get(f"/sweeps/{part(run_id)}/report")
    file = output or Path(f"{run_id}.html")
    atomic_write(file, page)
    typer.echo(f"report: {file}")


@app.command()
def stop(run_id: RunId) -> None:
    """End a waiting run; ask a running one to write a checkpoint and end."""
    from coat_ray.client import Client, part  # noqa: PLC0415 - `coat --help` must be instant
    from coat_ray.commands.run_watch import state_line  # noqa: PLC0415

    typer.echo(state_line(Client.required().post(f"/runs/{part(run_id)}/stop")))


def submit_and_watch(
    client: Client,
    config: RunConfig | SweepConfig,
    priority: int,
    key: str,
    show: Callable[[str], None] = typer.echo,
    *,
    tenant: str | None = None,
) -> int:
    """Queue a run or a sweep on the platform and follow it; gives the exit code of ``watch``.

    Args:
        client: the platform.
        config: validated already, so that what is wrong is said before anything is sent; a sweep's run is not a file.
        priority: within the tenant; higher goes first.
        key: the Idempotency-Key, made once for one command: a call that is sent again makes no second run.
        show: takes lines.
        tenant: whose run; only an owner may name another than its own, and must name one.

    Raises:
        PlatformError: refused, with the sentence of the denial, or no answer.
    """
    from coat_ray.commands.run_watch import watch as follow  # noqa: PLC0415 - `coat --help` must be instant
    from coat_ray.config import RunConfig  # noqa: PLC0415

    path, unset = ("/runs", False) if isinstance(config, RunConfig) else ("/sweeps", True)
    body = {"config": config.model_dump(mode="json", exclude_unset=unset), "priority": priority}
    run = client.post(place(path, tenant), body, idempotency_key=key)
    return follow(client, run["id"], show)


def _platform(local: bool) -> Client | None:
    from coat_ray.client import Client  # noqa: PLC0415 - `coat --help` must be instant

    return None if local else Client.configured()


def _of_platform(client: Client, run_id: str) -> tuple[dict[str, Any], list[Shown]]:
    """A run of the platform, and a column for each of its arms."""
    from coat_ray.client import part  # noqa: PLC0415 - `coat --help` must be instant
    from coat_ray.commands.run_view import Shown, total_steps  # noqa: PLC0415

    run = client.get(f"/runs/{part(run_id)}")
    rows = client.get(f"/runs/{part(run_id)}/metrics")["data"] or {"-": []}
    result = run["result"] or {}
    facts = {
        **{fact: str(run[fact] or "-") for fact in ("state", "reason", "submitted_at", "started_at", "ended_at")},
        "wants": f"{run['resources']['cpus']:g} CPUs, {run['resources']['gpus']:g} GPUs",
        "came out": ", ".join(result.get("models", ())) or "-",
    }
    if run["kind"] == "sweep":
        facts["came out"] = f"`coat runs report {run_id}` gets the report" if result else "-"
    steps = 0 if run["kind"] == "sweep" else total_steps(run["config"])
    return run, [Shown(f"{run_id} {arm}".removesuffix(" -"), arm, facts, steps, logged) for arm, logged in rows.items()]


def _of_record(registry: RunRegistry, run_id: str) -> tuple[dict[str, Any], list[Shown]]:
    """A record of this machine, and its column."""
    from coat_ray.commands.run_view import Shown, total_steps  # noqa: PLC0415 - `coat --help` must be instant
    from coat_ray.registry.metrics import read_metrics  # noqa: PLC0415

    record = registry.find(run_id)
    facts = {fact: str(getattr(record, fact)) for fact in ("state", "arm", "seed", "created")}
    facts["commit"] = ((record.git or {}).get("commit") or "-")[:8]
    facts["came out"] = str(record.result.get("model") or record.result.get("error") or "-")
    shown = Shown(record.id, record.arm, facts, total_steps(record.config), read_metrics(registry.metrics(record.id)))
    return record.model_dump(mode="json") | {"folder": str(registry.folder(record.id))}, [shown]


def _json(plain: dict[str, Any], columns: Iterable[Shown], *, whole: bool, by_arm: bool) -> dict[str, Any]:
    """A run as plain data with its last figures, and with *whole* all of them; on the platform for each arm."""
    rows: dict[str, Any] = {column.arm: column.rows for column in columns if column.rows}
    last: Any = {arm: logged[-1] for arm, logged in rows.items()}
    metrics: Any = rows
    if not by_arm:
        last, metrics = next(iter(last.values()), None), next(iter(rows.values()), [])
    return plain | {"last": last} | ({"metrics": metrics} if whole else {})


def _records() -> RunRegistry:
    from coat_ray.registry.runs import RunRegistry  # noqa: PLC0415 - `coat --help` must be instant
    from coat_ray.storage import Storage  # noqa: PLC0415

    return RunRegistry(Storage.default())
