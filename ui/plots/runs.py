"""Runs as text: one line in the list, and the facts of one that is open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

SIGNS = {"queued": "◌", "starting": "◔", "running": "◑", "yielding": "◕", "done": "●", "failed": "✕", "stopped": "■"}
ENDED = ("done", "failed", "stopped")
Run = Mapping[str, Any]


def label(run: Run) -> str:
    """One line in the list."""
    kind = "sweep" if run["kind"] == "sweep" else "run"
    return f"{SIGNS.get(run['state'], '○')} {run['name']} · {kind} · {run['state']} · {ago(run['submitted_at'])}"


def facts(run: Run, used: Mapping[str, Any], arms: Mapping[str, Any]) -> str:
    """State, reason, cost, checkpoints."""
    lines = [("State", run["state"])]
    if run["reason"]:
        lines.append(("Why", run["reason"]))
    asks = run["resources"]
    cost = (
        f"{used.get('cpu_seconds', 0) / 60:.1f} CPU-minutes, {used.get('accelerator_seconds', 0) / 3600:.2f} GPU-hours"
    )
    lines += [
        ("Team", run["tenant"]),
        ("Asks for", f"{asks['cpus']:g} CPUs, {asks['gpus']:g} GPUs"),
        ("Cost so far", cost),
        ("Submitted", ago(run["submitted_at"])),
        ("Attempts", str(run["attempts"])),
    ]
    for arm, record in arms.items():
        steps = ", ".join(map(str, record["checkpoints"])) or "none yet"
        lines.append((f"Arm {arm}", f"{record['state']}; checkpoints at steps {steps}"))
    shown = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in lines)
    return f'<div class="card"><h3>{escape(run["name"])} <small>{escape(run["id"])}</small></h3><dl>{shown}</dl></div>'


def scores(models: Sequence[Mapping[str, Any]]) -> str:
    """What a run has made, with its held-out scores."""
    if not models:
        return ""
    return "".join(_model(model) for model in models)


def _model(model: Mapping[str, Any]) -> str:
    alias = f" · alias <b>{escape(model['alias'])}</b>" if model["alias"] else ""
    terms = escape(model["licence"]) + ("" if model["commercial_use"] else " · not for commercial use")
    cells = "".join(
        f"<tr><th scope='row'>{escape(k.replace('_', ' '))}</th><td>{_number(v)}</td></tr>"
        for k, v in _flat(model["scores"])
    )
    table = (
        f"<table class='reads'><tbody>{cells}</tbody></table>"
        if cells
        else "<p class='facts'>no scores: the run did not compare</p>"
    )
    return f'<div class="card"><h4>{escape(model["model"])}{alias}</h4><p class="facts">{terms}</p>{table}</div>'


def _flat(scores: Mapping[str, Any], name: str = "") -> list[tuple[str, Any]]:
    """Every score by its own name; skills within a task are left to the report."""
    if "value" in scores:
        return [(name, scores)]
    found: list[tuple[str, Any]] = []
    for key, value in scores.items():
        if isinstance(value, Mapping):
            found += _flat(value, key)
        elif isinstance(value, float):
            found.append((key, value))
    return found


def _number(score: Any) -> str:
    """A value, with its interval and metric where they are known."""
    if not isinstance(score, Mapping):
        return f"{score:.3f}"
    shown = "none" if score["value"] is None else f"{score['value']:.3f}"
    between = f" ({score['low']:.2f} to {score['high']:.2f})" if isinstance(score.get("low"), float) else ""
    return f"{shown}{between} {escape(str(score.get('metric', '')))}"


def ago(instant: str) -> str:
    """How long an instant lies back."""
    seconds = (datetime.now(UTC) - datetime.fromisoformat(instant).astimezone(UTC)).total_seconds()
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return "just now"
