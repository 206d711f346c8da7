"""What heads and teachers read, in words: a small table with a meter of agreement."""

from __future__ import annotations

from html import escape
from typing import Any

from ui.plots.inside import Views, name_of, ordered

ABOUT = {
    "recon": "the log-mel of the input, rebuilt from the block",
    "sed": "which sounds are heard",
    "paralinguistic": "how a speaker feels",
    "pitch": "which notes are played or sung",
    "speech": "which letters are spoken",
}


def table(thinking: Views, teachers: Views) -> str:
    """A row for each expert."""
    rows = "".join(_row(role, thinking[role], teachers.get(role)) for role in ordered(thinking))
    head = "<tr><th>Expert</th><th>The block says</th><th>The teacher says</th><th>Agreement</th></tr>"
    return f'<div class="scroll"><table class="reads"><thead>{head}</thead><tbody>{rows}</tbody></table></div>'


def _row(role: str, student: Any, teacher: Any) -> str:
    about = ABOUT.get(role, student["expert"])
    cells = [
        f"<th scope='row'>{escape(name_of(role))}<small>{escape(about)}</small></th>",
        f"<td>{escape(student['summary'] or 'drawn below')}</td>",
        f"<td>{escape((teacher['summary'] or 'drawn below') if teacher else 'not here')}</td>",
        f"<td>{_meter(teacher)}</td>",
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _meter(teacher: Any) -> str:
    figure = (teacher or {}).get("agreement")
    if figure is None:
        return "not compared"
    measure, value = escape(figure["measure"]), figure["value"]
    if value is None:
        return f'<span title="{measure}">nothing to compare</span>'
    width = max(0, min(100, round(100 * value)))
    bar = f'<span class="meter" aria-hidden="true"><span style="width:{width}%"></span></span>'
    return f"{bar}<b>{value:.2f}</b><small>{measure}</small>"
