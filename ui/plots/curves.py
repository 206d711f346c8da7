"""Curves of a run: the total, the cross-entropy and every expert's loss over the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ui.plots.inside import FONT, LINES, name_of

NO_LOSS = ("grad", "weight", "log_variance")
COLUMNS, HEIGHT = 3, 190


def curves(arms: Mapping[str, Sequence[Mapping[str, Any]]]) -> go.Figure | None:
    """One small plot for each loss, all arms in it; None before anything was logged."""
    rows = [row for arm in arms.values() for row in arm]
    terms = [key for key in ("loss", "ce", "token_accuracy") if any(key in row for row in rows)]
    terms += sorted({key for row in rows for key in row if "/" in key and key.rpartition("/")[2] not in NO_LOSS})
    if not terms:
        return None
    count = -(-len(terms) // COLUMNS)
    drawn = make_subplots(
        count, COLUMNS, subplot_titles=[_title(term) for term in terms], vertical_spacing=0.36 / count,
        horizontal_spacing=0.08,
    )  # fmt: skip
    for place, term in enumerate(terms):
        for number, (arm, logged) in enumerate(arms.items()):
            drawn.add_trace(
                _curve(arm, number, term, logged, shown=place == 0), row=place // COLUMNS + 1, col=place % COLUMNS + 1
            )
    drawn.update_annotations(font={"size": 12})
    drawn.update_xaxes(showgrid=False, zeroline=False, nticks=4, title={"text": "step", "font": {"size": 10}})
    drawn.update_yaxes(zeroline=False, nticks=4)
    drawn.update_layout(
        height=HEIGHT * count + 76, margin={"l": 44, "r": 12, "t": 56, "b": 40},
        font={"family": FONT, "color": "#80868e", "size": 11}, paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(128,134,142,.07)",
        legend={"orientation": "h", "yref": "container", "y": 1, "yanchor": "top", "x": 1, "xanchor": "right"},
    )  # fmt: skip
    return drawn


def _curve(arm: str, number: int, term: str, logged: Sequence[Mapping[str, Any]], *, shown: bool) -> go.Scatter:
    points = [(row["step"], row[term]) for row in logged if term in row]
    return go.Scatter(
        x=[step for step, _ in points],
        y=[value for _, value in points],
        name=arm,
        legendgroup=arm,
        showlegend=shown,
        mode="lines",
        line={"color": LINES[number % len(LINES)], "width": 2},
        hovertemplate=f"step %{{x}}: %{{y:.4g}} ({arm})<extra></extra>",
    )


def _title(term: str) -> str:
    role, slash, what = term.partition("/")
    known = {"loss": "Total loss", "ce": "Cross-entropy of answers", "token_accuracy": "Right tokens (share)"}
    return f"{name_of(role)}: {what.upper() if what in ('mse', 'bce') else what}" if slash else known[term]
