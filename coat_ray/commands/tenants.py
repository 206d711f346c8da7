"""``coat tenants``: teams on the platform, and what each may have."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from coat_ray.commands.keys import show_key
from coat_ray.commands.output import AsJson, show_json, show_rows

app = typer.Typer(no_args_is_help=True, help="Tenants: teams that share the platform, and their limits.")

GIGABYTE = 10**9
UNLIMITED = ("none", "unlimited")
Name = Annotated[str, typer.Argument(metavar="NAME", help="As `coat tenants list` shows it.")]


@app.command()
def create(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Lower-case letters, digits, hyphens; never given again.")
    ],
    *,
    title: Annotated[str, typer.Option(help="For people.")] = "",
    cpus: Annotated[float | None, typer.Option(min=0, help="CPUs at once.")] = None,
    gpus: Annotated[float | None, typer.Option(min=0, help="GPUs at once.")] = None,
    running_runs: Annotated[int | None, typer.Option(min=0, help="Runs at once.")] = None,
    queued_runs: Annotated[int | None, typer.Option(min=0, help="Runs that wait at once; default: 1,000.")] = None,
    trials: Annotated[int | None, typer.Option(min=0, help="Trials of sweeps at once.")] = None,
    accelerator_hours: Annotated[float | None, typer.Option(min=0, help="In a calendar month, UTC.")] = None,
    storage_gb: Annotated[float | None, typer.Option(min=0, help="What it stores, in 10^9 bytes.")] = None,
    requests_per_minute: Annotated[int | None, typer.Option(min=0, help="Requests to the platform.")] = None,
    weight: Annotated[float, typer.Option(help="Its share of a contended cluster, relative to others.")] = 1.0,
    as_json: AsJson = False,
) -> None:
    """Make a tenant and its first admin key, which is printed once. But for the queue, only given limits hold."""
    from coat_ray.client import Client, PlatformError  # noqa: PLC0415 - `coat --help` must be instant

    limits = {
        "cpus": cpus,
        "gpus": gpus,
        "running_runs": running_runs,
        "queued_runs": queued_runs,
        "trials": trials,
        "accelerator_hours": accelerator_hours,
        "storage_bytes": None if storage_gb is None else round(storage_gb * GIGABYTE),
        "requests_per_minute": requests_per_minute,
        "weight": weight,
    }
    client = Client.required()
    quota = {limit: value for limit, value in limits.items() if value is not None}
    made = client.post("/tenants", {"name": name, "title": title, "quota": quota})
    try:
        key = client.post("/keys", {"role": "admin", "tenant": name, "label": "first key"})
    except PlatformError as error:
        again = f"`coat keys create --role admin --tenant {name}`"
        raise PlatformError(f"tenant {name} is made, its first key is not ({error}); {again} makes it") from error
    if as_json:
        show_json({**made, "first_key": key})
    else:
        typer.echo(f"tenant {name} is made")
        show_key(key)


@app.command("list")
def list_tenants(*, as_json: AsJson = False) -> None:
    """List all tenants for an owner, else your own."""
    from coat_ray.client import Client  # noqa: PLC0415 - `coat --help` must be instant

    found = Client.required().get("/tenants")["data"]
    empty = "no tenants yet; `coat tenants create NAME` makes one"
    show_rows(found, ("name", "title", "created_at"), as_json=as_json, empty=empty)


@app.command()
def show(name: Name, *, as_json: AsJson = False) -> None:
    """Show what a tenant may have, and what it used this month."""
    from coat_ray.client import Client, part  # noqa: PLC0415 - `coat --help` must be instant

    client = Client.required()
    limits = client.get(f"/tenants/{part(name)}/quota")
    used = client.get("/usage", by="month", tenant=name)["data"]
    if as_json:
        show_json({"name": name, "quota": limits, "usage": used})
        return
    typer.echo(f"tenant {name}")
    _show_quota(limits)
    columns = ("month", "accelerator_seconds", "cpu_seconds", "storage_bytes", "requests", "audio_seconds")
    show_rows(used, columns, as_json=False, empty="nothing used yet")


@app.command()
def quota(
    name: Name,
    changes: Annotated[
        list[str] | None,
        typer.Argument(metavar="[LIMIT=VALUE…]", help="Such as gpus=8 or storage_gb=none (unlimited)."),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show a tenant's limits, or change some; what already runs goes on."""
    from coat_ray.client import Client, part  # noqa: PLC0415 - `coat --help` must be instant

    place = f"/tenants/{part(name)}/quota"
    wanted = dict(_change(text) for text in changes or ())
    limits = Client.required().patch(place, wanted) if wanted else Client.required().get(place)
    if as_json:
        show_json(limits)
    else:
        _show_quota(limits)


@app.command()
def close(
    name: Name, *, yes: Annotated[bool, typer.Option("--yes", help="Do it; without, only say what would end.")] = False
) -> None:
    """End all keys of a tenant for good; its runs, models, usage and audit lines stay."""
    from coat_ray.client import Client, part  # noqa: PLC0415 - `coat --help` must be instant

    if not yes:
        typer.echo(f"would end all keys of tenant {name} for good; its name is not given again; --yes does it")
        return
    closed = Client.required().delete(f"/tenants/{part(name)}")
    typer.echo(f"tenant {closed['name']} is closed since {closed['closed_at']}")


def _show_quota(limits: dict[str, Any]) -> None:
    rows = [{"limit": limit, "allowed": "unlimited" if value is None else value} for limit, value in limits.items()]
    show_rows(rows, ("limit", "allowed"), as_json=False, empty="no limits")


def _change(text: str) -> tuple[str, float | None]:
    limit, equals, value = text.partition("=")
    try:
        amount = None if value.lower() in UNLIMITED else float(value)
    except ValueError:
        equals = ""
    if not equals:
        raise typer.BadParameter(
            f"{text!r} is not LIMIT=NUMBER, such as gpus=8, or LIMIT=none", param_hint="LIMIT=VALUE"
        )
    if limit == "storage_gb":
        return "storage_bytes", None if amount is None else round(amount * GIGABYTE)
    return limit, amount
