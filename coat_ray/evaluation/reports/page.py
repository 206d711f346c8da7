"""Sections of a report as one HTML page that needs nothing else, and as Markdown.

Whatever comes from a configuration or an error message is text: both forms escape it.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from coat_ray.evaluation.reports.report import Table

TEMPLATE = Path(__file__).with_name("page.html.jinja")
_MARKDOWN_SIGNS = str.maketrans({sign: f"\\{sign}" for sign in "\\|`*_[]"})


@dataclass(frozen=True)
class Picture:
    """A PNG and what it shows, in words."""

    name: str
    title: str
    alt: str
    png: bytes


@dataclass(frozen=True)
class Example:
    """Something to listen to: facts about it, name and text, and the clip as a file of the given media type."""

    facts: Sequence[tuple[str, str]]
    sound: bytes | None = None
    media_type: str = "audio/flac"


@dataclass(frozen=True)
class Section:
    """A heading, what is said, a table, a picture, examples; folded: opened on demand, and left out of Markdown."""

    title: str
    says: Sequence[str] = ()
    table: Table | None = None
    picture: Picture | None = None
    folded: bool = False
    examples: Sequence[Example] = ()


def to_html(title: str, facts: Sequence[tuple[str, str]], sections: Sequence[Section]) -> str:
    """The page, pictures inside it as data URIs."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["data_uri"] = _data_uri
    return environment.from_string(TEMPLATE.read_text()).render(title=title, facts=facts, sections=sections)


def to_markdown(title: str, facts: Sequence[tuple[str, str]], sections: Sequence[Section]) -> str:
    """The same without pictures and folded sections."""
    head = [f"# {markdown_text(title)}", "\n".join(f"- {name}: {markdown_text(value)}" for name, value in facts)]
    return "\n\n".join([*head, *(_markdown_section(section) for section in sections if _in_words(section))]) + "\n"


def markdown_text(text: str) -> str:
    """Text that Markdown shows as it is, in one line; intervals keep their brackets."""
    line = html.escape(" ".join(text.split()), quote=False)
    return line if _harmless(line) else line.translate(_MARKDOWN_SIGNS)


def _harmless(line: str) -> bool:
    """Numbers, intervals and words need no backslashes, which would only disturb who reads the source."""
    return not any(sign in line for sign in "\\|`") and "](" not in line and "__" not in line and line.count("*") < 2


def _in_words(section: Section) -> bool:
    return not section.folded and bool(section.says or section.table)


def _markdown_section(section: Section) -> str:
    said = "\n".join(f"- {markdown_text(sentence)}" for sentence in section.says)
    if section.table is None:
        body = f"### {markdown_text(section.title)}"
    else:
        rows = [tuple(markdown_text(cell) for cell in row) for row in section.table.rows]
        columns = tuple(markdown_text(column) for column in section.table.columns)
        title = markdown_text(section.title)
        notes = [markdown_text(note) if not note.startswith("* ") else note for note in section.table.notes]
        body = replace(section.table, title=title, columns=columns, rows=rows, notes=notes).to_markdown().rstrip()
    return f"{body}\n\n{said}".rstrip()


def _data_uri(data: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"
