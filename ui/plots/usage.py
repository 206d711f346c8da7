"""Who uses the cluster: limits beside what is held now, the queue, and months of usage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ui.plots.inside import FONT, LINES
from ui.plots.runs import ago

LIMITS = (
    ("weight", "Share", 1.0),
    ("cpus", "CPUs", 1.0),
    ("gpus", "GPUs", 1.0),
    ("running_runs", "Running runs", 1.0),
    ("trials", "Trials", 1.0),
    ("accelerator_hours", "GPU-hours a month", 1.0),
    ("storage_bytes", "Storage (GB)", 1e9),
    ("requests_per_minute", "Requests a minute", 1.0),
    ("audio_seconds_per_minute", "Audio-seconds a minute", 1.0),
)
MEASURES = (
    ("accelerator_seconds", "GPU-hours", 3600),
    ("cpu_seconds", "CPU-hours", 3600),
    ("requests", "Requests", 1),
    ("audio_seconds", "Audio-minutes", 60),
)
Team = Mapping[str, Any]


def teams(found: Sequence[Team]) -> str:
    """A row for each team: its share of a full cluster, and its limits beside what is held now where that is known."""
    total = sum(team["quota"]["weight"] for team in found if not team["closed"]) or 1.0
    head = "".join(f"<th>{escape(name)}</th>" for _, name, _ in LIMITS)
    rows = "".join(_team(team, total) for team in found)
    return _table(f"<tr><th>Team</th>{head}</tr>", rows)


def _team(team: Team, total: float) -> str:
    cells = []
    for key, _, unit in LIMITS:
        limit, used = team["quota"].get(key), (team.get("used") or {}).get(key)
        if key == "weight":
            cells.append("closed" if team["closed"] else f"{limit / total:.0%}")
            continue
        bound = "∞" if limit is None else f"{limit / unit:g}"
        cells.append(bound if used is None else f"{used / unit:.3g} of {bound}")
    return f"<tr><th scope='row'>{escape(team['name'])}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def queue(runs: Sequence[Mapping[str, Any]]) -> str:
    """What runs and waits, with why."""
    live = [run for run in runs if run["state"] in ("queued", "starting", "running", "yielding")]
    if not live:
        return '<p class="facts">Nothing runs and nothing waits.</p>'
    rows = "".join(
        f"<tr><th scope='row'>{escape(run['name'])}</th><td>{escape(run['tenant'])}</td><td>{run['state']}</td>"
        f"<td>{run['resources']['cpus']:g} / {run['resources']['gpus']:g}</td><td>{ago(run['submitted_at'])}</td>"
        f"<td>{escape(run['reason'])}</td></tr>"
        for run in sorted(live, key=lambda run: (run["state"] == "queued", -run["priority"], run["submitted_at"]))
    )
    head = "<tr><th>Run</th><th>Team</th><th>State</th><th>CPUs / GPUs</th><th>Submitted</th><th>Why it waits</th></tr>"
    return _table(head, rows)


def _table(head: str, rows: str) -> str:
    return f'<div class="scroll"><table class="reads"><thead>{head}</thead><tbody>{rows}</tbody></table></div>'


def months(lines: Sequence[Mapping[str, Any]]) -> go.Figure | None:
    """What each team used, month by month; None where nothing was."""
    known = sorted({line["month"] for line in lines if line["month"]})
    names = sorted({line["tenant"] for line in lines if line["tenant"]})
    if not known or not names:
        return None
    drawn = make_subplots(
        2, 2, subplot_titles=[title for _, title, _ in MEASURES], horizontal_spacing=0.1, vertical_spacing=0.24
    )
    for place, (key, _, unit) in enumerate(MEASURES):
        for number, name in enumerate(names):
            sums = [
                sum(line[key] for line in lines if (line["tenant"], line["month"]) == (name, m)) / unit for m in known
            ]
            drawn.add_trace(
                go.Bar(
                    x=known, y=sums, name=name, legendgroup=name, showlegend=place == 0, width=0.5,
                    marker={"color": LINES[number % len(LINES)]},
                    hovertemplate=f"%{{x}}: %{{y:.3g}}<extra>{escape(name)}</extra>",
                ),
                row=place // 2 + 1, col=place % 2 + 1,
            )  # fmt: skip
    drawn.update_xaxes(type="category", showgrid=False)
    drawn.update_yaxes(zeroline=False, nticks=4, rangemode="tozero", exponentformat="none")
    drawn.update_annotations(font={"size": 12})
    drawn.update_layout(
        barmode="stack", height=430, margin={"l": 40, "r": 10, "t": 34, "b": 60}, paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(128,134,142,.07)", font={"family": FONT, "color": "#80868e", "size": 11},
        legend={"orientation": "h", "y": -0.12},
    )  # fmt: skip
    return drawn
