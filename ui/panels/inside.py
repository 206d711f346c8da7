"""Inside the block: what each expert's head reads in it over time, and what changes without it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from html import escape
from typing import Any, NamedTuple

import gradio as gr
from anyio import to_thread

from coat_ray.audio import AudioError
from ui import sentences
from ui.models import Answer, AnswerError, Asked
from ui.page import PREFIX, QUIET, Page, clip_of, one_turn, told
from ui.panels.about import clip_and_question
from ui.plots.inside import figure
from ui.plots.reads import table
from ui.plots.timings import line
from ui.sound import LIMITS, Clip

COLUMNS = 120
INTRO = (
    "Before it answers, a model trained with CoAT fills a **block** of silent positions, one per 40 ms of audio. "
    "Small heads, trained against frozen experts, read what stands there: sound, events, affect, pitch, speech."
)
LEGEND = (
    '<p class="facts"><b class="student">Green</b> is what the block holds, <b class="teacher">amber</b> what the '
    "expert itself (the teacher) or the clip says. Stronger colour: more probable, louder, or more alike. Hover to "
    "read values; click to listen from there.</p>"
)
NO_BLOCK = (
    '<p class="told">This model has no block: it is the bare base, or was trained without one. Choose a model that was '
    "trained with the block (arm <code>coat</code>); Experiments starts such a training.</p>"
)


class Wanted(NamedTuple):
    """What the panel was told, in the order of its inputs."""

    path: str | None
    question: str
    model: str
    teachers: bool
    without: bool


def inside_panel(page: Page, blocks: gr.Blocks, tab: gr.Tab) -> None:
    """Lay the panel out and wire it."""
    gr.Markdown(INTRO, elem_classes="intro")
    with clip_and_question("inside") as (clip, question):
        model = gr.Dropdown(["base"], value="base", label="Model", elem_id="inside-model")
        teachers = gr.Checkbox(True, label="Set the teachers beside it", elem_id="inside-teachers")
        removed = gr.Checkbox(False, label="Remove the block and ask again", elem_id="inside-removed")
        look = gr.Button("Look inside", variant="primary", elem_id="inside-look")
    said = gr.HTML(elem_id="inside-said", elem_classes="plain")
    plot = gr.Plot(show_label=False, container=False, elem_id="inside-plot", visible=False)

    async def looked(request: gr.Request, *told_to: Any) -> AsyncIterator[Any]:
        yield '<p class="facts" role="status">Listening …</p>', gr.skip()
        try:
            yield await _looked(page, request, Wanted(*told_to))
        except (AudioError, OSError) as error:
            yield told(sentences.about_clip(error, LIMITS.max_seconds)), gr.skip()
        except AnswerError as error:
            yield told(str(error)), gr.skip()

    inputs = [clip, question, model, teachers, removed]
    gr.on([look.click, question.submit], looked, inputs, [said, plot], **QUIET)
    page.keep_current([model], blocks, tab)


async def _looked(page: Page, request: gr.Request, wanted: Wanted) -> tuple[Any, Any]:
    """What is said, and the figure.

    Raises:
        AnswerError, AudioError, OSError: there is nothing to show.
    """
    session = page.session(request)
    clip = await clip_of(session, wanted.path, request.session_hash)
    messages = one_turn(clip, wanted.question)
    if clip is None:
        raise AnswerError(sentences.NO_CLIP)
    asked = Asked(wanted.model, messages, thinking=COLUMNS, teachers=wanted.teachers)
    answer = await page.models.whole(session.key, asked)
    other = await page.models.whole(session.key, Asked(wanted.model, messages, "plain")) if wanted.without else None
    thinking, teachers = answer.coat.get("thinking", {}), answer.coat.get("teachers", {})
    tab = request.session_hash or ""
    if tab in session.tabs:
        session.readings[tab] = _export(wanted, clip, answer, other)
    if not thinking:
        return _said(clip, answer, other, "", NO_BLOCK), gr.update(visible=False)
    drawn = await to_thread.run_sync(figure, clip, thinking, teachers)
    said = _said(clip, answer, other, _tools(tab), table(thinking, teachers) + LEGEND)
    return said, gr.update(value=drawn, visible=True)


def _said(clip: Clip, answer: Answer, other: Answer | None, tools: str, reads: str) -> str:
    player = f'<audio id="inside-player" controls preload="auto" src="{PREFIX}/clips/{clip.id}"></audio>'
    cards = [_card("With the block" if answer.coat.get("thinking") else "Answer", answer)]
    if other is not None:
        same = "the same answer" if other.text.strip() == answer.text.strip() else "another answer"
        cards.append(_card(f"Without the block: {same}", other))
    row = f'<div class="cards">{"".join(cards)}</div>'
    return f'<div class="said"><div class="playing">{player}{tools}</div>{row}{reads}</div>'


def _card(title: str, answer: Answer) -> str:
    text = escape(answer.text.strip()) or "<i>an empty answer</i>"
    return f'<div class="card"><h4>{escape(title)}</h4><p class="answer">{text}</p>{line(answer)}</div>'


def _tools(tab: str) -> str:
    return (
        '<span class="tools"><button type="button" class="quiet" onclick="coatPicture()">Save PNG</button>'
        f'<a class="quiet" href="{PREFIX}/export/{tab}" download>Save JSON</a></span>'
    )


def _export(wanted: Wanted, clip: Clip, answer: Answer, other: Answer | None) -> dict[str, Any]:
    facts = {"model": wanted.model, "question": wanted.question, "answer": answer.text}
    without = {} if other is None else {"answer_without_block": other.text}
    heard = {"clip": {"name": clip.name, "seconds": round(clip.seconds, 3)}}
    return {**facts, **without, **heard, **answer.coat, "usage": answer.usage}
