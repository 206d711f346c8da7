"""What stands in a block over time: one figure, one time axis, student in green and teacher in amber.

Colours begin transparent, so that the same figure reads on a light and on a dark page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ui.sound import Clip

View = Mapping[str, Any]
Views = Mapping[str, View]

TITLES = {
    "recon": "Sound",
    "sed": "Sound events",
    "paralinguistic": "Affect",
    "pitch": "Pitch",
    "speech": "Speech",
}
"""Role -> name, in the order in which they are drawn; roles that are not here come last under their own name."""

STUDENT, TEACHER, WAVE = "20,124,116", "201,122,40", "128,134,142"
LINES = ("#2a9d8f", "#d08c2f", "#7a6fd0", "#c8577a", "#4f93d1", "#8c9a3b", "#a0704f", "#5c6f7b")
MOST_SHOWN = 8
"""Classes or notes in a row, the strongest ones."""

HEIGHTS = {"wave": 56, "frequency": 92, "class": 112, "note": 120, "lines": 100, "similarity": 112}
GAP = 38
FONT = "ui-sans-serif, system-ui, sans-serif"


@dataclass(frozen=True)
class Row:
    """One row of the figure: its title, its height in pixels, what is drawn, and its vertical axis."""

    title: str
    height: int
    traces: list[Any]
    axis: dict[str, Any]
    legend: bool = False


def figure(clip: Clip, thinking: Views, teachers: Views) -> go.Figure:
    """Everything about one clip, from the waveform down."""
    rows = [
        _wave(clip),
        *(row for role in ordered(thinking) for row in _rows(role, thinking[role], teachers.get(role))),
    ]
    return _drawn(rows, clip.seconds)


def name_of(role: str) -> str:
    """What visitors call a role."""
    return TITLES.get(role, role)


def ordered(views: Views) -> list[str]:
    """Roles as they are drawn."""
    known = list(TITLES)
    return sorted(views, key=lambda role: (known.index(role) if role in known else len(known), role))


def _rows(role: str, student: View, teacher: View | None) -> list[Row]:
    title = name_of(role)
    if role == "speech" or "values" not in student:
        return _pair(title, student, teacher, _similarity) if "similarity" in student else []
    kind = student["axes"][1]
    if kind == "class" and len(student["class"]) <= len(LINES):
        return [_curves(title, student, teacher)]
    pair = _pair(title, student, teacher, _heat)
    return pair[::-1] if kind == "frequency" else pair  # what went in stands above what became of it


def _pair(title: str, student: View, teacher: View | None, draw: Any) -> list[Row]:
    shown = _shown(student, teacher)
    rows = [draw(f"{title} · in the block", student, STUDENT, shown)]
    if teacher is not None:
        rows.append(draw(f"{title} · {_teacher(teacher)}", teacher, TEACHER, shown))
    return rows


def _teacher(view: View) -> str:
    return "in the clip itself" if view["expert"] == "log-mel" else f"teacher ({view['expert']})"


def _shown(student: View, teacher: View | None) -> list[int]:
    """Places of the classes or notes that are drawn: those that peak highest in either view."""
    if "values" not in student:
        return []
    count = len(student["values"][0])
    if student["axes"][1] == "frequency":
        return list(range(count))
    views = [student, *([teacher] if teacher is not None else [])]
    peaks = [max(row[i] for view in views for row in view["values"]) for i in range(count)]
    return sorted(sorted(range(count), key=lambda i: -peaks[i])[:MOST_SHOWN])


def _times(view: View) -> list[float]:
    time = view["time"]
    return [round(time["first_center"] + i * time["step"], 4) for i in range(time["columns"])]


def _heat(title: str, view: View, colour: str, shown: list[int]) -> Row:
    kind = view["axes"][1]
    names = [view[kind][i] for i in shown]
    values = [[row[i] for row in view["values"]] for i in shown]
    sound = kind == "frequency"
    trace = go.Heatmap(
        x=_times(view),
        y=list(range(len(names))),
        z=values,
        zmin=-80 if sound else 0,
        zmax=0 if sound else 1,
        colorscale=_scale(colour),
        showscale=False,
        customdata=[[f"{name:.0f} Hz" if sound else name] * view["time"]["columns"] for name in names],
        hovertemplate="%{x:.2f} s · %{customdata}: " + ("%{z:.0f} dB" if sound else "%{z:.0%}") + "<extra></extra>",
    )
    places = _octaves(names) if sound else list(range(len(names)))
    axis = {"tickvals": places, "ticktext": [_hertz(names[i]) if sound else _short(names[i]) for i in places]}
    return Row(title, HEIGHTS[kind], [trace], axis)


def _similarity(title: str, view: View, colour: str, shown: list[int]) -> Row:  # noqa: ARG001 - as all rows are drawn
    times = _times(view)
    trace = go.Heatmap(
        x=times,
        y=times,
        z=view["similarity"],
        zmin=-0.2,
        zmax=1,
        colorscale=_scale(colour),
        showscale=False,
        hovertemplate="%{x:.2f} s is like %{y:.2f} s: %{z:.2f}<extra></extra>",
    )
    return Row(f"{title} · which moments are alike", HEIGHTS["similarity"], [trace], {"ticksuffix": " s", "nticks": 4})


def _curves(title: str, student: View, teacher: View | None) -> Row:
    traces = []
    for view, dash, who in ((student, "solid", "block"), (teacher, "dot", "teacher")):
        for i, name in enumerate(view["class"] if view is not None else ()):
            at = student["class"].index(name) if name in student["class"] else i
            traces.append(
                go.Scatter(
                    x=_times(view),  # type: ignore[arg-type]
                    y=[row[i] for row in view["values"]],  # type: ignore[index]
                    mode="lines",
                    line={"color": LINES[at % len(LINES)], "dash": dash, "width": 2},
                    name=name,
                    showlegend=who == "block",
                    hovertemplate=f"%{{x:.2f}} s · {name} ({who}): %{{y:.0%}}<extra></extra>",
                )
            )
    drawn = f"{title} · block (lines), {_teacher(teacher)} (dots)" if teacher is not None else f"{title} · in the block"
    axis = {"tickformat": ".0%", "range": [0, 1.02], "nticks": 3}
    return Row(drawn, HEIGHTS["lines"], traces, axis, legend=True)


def _wave(clip: Clip) -> Row:
    times, low, high = clip.outline()
    line = {"color": f"rgb({WAVE})", "width": 1}
    lower = go.Scatter(x=times, y=low, mode="lines", line=line, hoverinfo="skip", showlegend=False)
    upper = go.Scatter(
        x=times, y=high, mode="lines", line=line, fill="tonexty", fillcolor=f"rgba({WAVE},.45)", showlegend=False,
        hovertemplate="%{x:.2f} s<extra></extra>",
    )  # fmt: skip
    return Row("Waveform", HEIGHTS["wave"], [lower, upper], {"showticklabels": False, "zeroline": False})


def _drawn(rows: list[Row], seconds: float) -> go.Figure:
    heights = [row.height for row in rows]
    total = sum(heights) + GAP * len(rows)
    drawn = make_subplots(
        len(rows), 1, shared_xaxes=True, row_heights=heights, vertical_spacing=GAP / total,
        subplot_titles=[row.title for row in rows],
    )  # fmt: skip
    for place, row in enumerate(rows, 1):
        drawn.add_traces(row.traces, rows=place, cols=1)
        drawn.update_yaxes(row.axis, row=place, col=1)
    drawn.update_annotations(x=0, xanchor="left", yshift=2, font={"size": 13})
    drawn.update_yaxes(showgrid=False, zeroline=False, ticks="", tickfont={"size": 11}, fixedrange=True)
    drawn.update_xaxes(
        range=[0, seconds], showgrid=False, zeroline=False, ticksuffix=" s", showspikes=True, spikemode="across",
        spikethickness=1, spikedash="solid", spikecolor="rgba(128,134,142,.7)", spikesnap="cursor",
    )  # fmt: skip
    legend = {"orientation": "h", "x": 1, "xanchor": "right", "yanchor": "bottom", "font": {"size": 11}}
    for place, row in enumerate(rows, 1):
        if row.legend:
            legend["y"] = drawn.layout[f"yaxis{place}" if place > 1 else "yaxis"].domain[1]
    drawn.update_layout(
        height=total + 60, margin={"l": 96, "r": 14, "t": 34, "b": 44}, font={"family": FONT, "color": "#80868e"},
        paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(128,134,142,.07)", hovermode="closest", dragmode=False,
        legend=legend,
    )  # fmt: skip
    return drawn


def _scale(colour: str) -> list[list[Any]]:
    return [[0, f"rgba({colour},0)"], [1, f"rgba({colour},1)"]]


def _octaves(frequencies: list[float]) -> list[int]:
    """Places of the bands nearest to some round frequencies."""
    return [min(range(len(frequencies)), key=lambda i: abs(frequencies[i] - f)) for f in (250, 1000, 4000)]


def _hertz(frequency: float) -> str:
    return f"{frequency / 1000:.1f} kHz" if frequency >= 1000 else f"{frequency:.0f} Hz"


def _short(name: str) -> str:
    return name if len(name) <= 15 else f"{name[:14]}…"
