"""Compare: one clip and question, asked in three ways at once, with where the time went."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from html import escape
from typing import Any

import gradio as gr

from coat_ray.audio import AudioError
from ui import sentences
from ui.models import Answer, AnswerError, Asked
from ui.page import MODES, QUIET, Page, clip_of, one_turn, told
from ui.panels.about import clip_and_question
from ui.plots.bars import bars
from ui.sessions import Session
from ui.sound import LIMITS

WAYS = ("plain", "block", "text_cot")
"""How the columns think at first: vanilla (the bare base), CoAT, and its rival that reasons in text."""

INTRO = (
    "One question, three ways to think about it. The **block** costs one longer prefill and no decoded token; "
    "**text reasoning** decodes every thought before the answer."
)


def compare_panel(page: Page, blocks: gr.Blocks, tab: gr.Tab) -> None:
    """Lay the panel out and wire it."""
    gr.Markdown(INTRO, elem_classes="intro")
    with clip_and_question("compare") as (clip, question):
        ask = gr.Button("Compare", variant="primary", elem_id="compare-ask")
    problem = gr.HTML(elem_classes="plain", elem_id="compare-problem")
    models, modes, answers = [], [], []
    with gr.Row(equal_height=False):
        for place, way in enumerate(WAYS):
            with gr.Column(min_width=260, elem_classes="compared"):
                models.append(gr.Dropdown(["base"], value="base", label="Model", elem_id=f"compare-model-{place}"))
                modes.append(gr.Radio(MODES, value=way, label="How it thinks", elem_id=f"compare-mode-{place}"))
                answers.append(gr.HTML(elem_id=f"compare-answer-{place}", elem_classes="plain"))

    async def compared(request: gr.Request, path: str | None, text: str, *ways: str) -> AsyncIterator[Any]:
        session = page.session(request)
        try:
            messages = one_turn(await clip_of(session, path, request.session_hash), text)
        except (AudioError, OSError) as error:
            yield told(sentences.about_clip(error, LIMITS.max_seconds)), *[gr.skip()] * len(WAYS)
            return
        except AnswerError as error:
            yield told(str(error)), *[gr.skip()] * len(WAYS)
            return
        pairs = zip(ways[: len(WAYS)], ways[len(WAYS) :], strict=True)
        async for shown in _side_by_side(page, session, [Asked(model, messages, mode) for model, mode in pairs]):
            yield "", *shown

    gr.on([ask.click, question.submit], compared, [clip, question, *models, *modes], [problem, *answers], **QUIET)
    page.keep_current(models, blocks, tab, bare=1)


async def _side_by_side(page: Page, session: Session, asked: Sequence[Asked]) -> AsyncIterator[list[str]]:
    """All answers as they come; the columns each time that one of them has more."""
    found: list[Answer | None] = [None] * len(asked)
    problems = [""] * len(asked)
    news: asyncio.Queue[bool] = asyncio.Queue()

    async def follow(place: int) -> None:
        try:
            async for answer in page.models.ask(session.key, asked[place]):
                found[place] = answer
                news.put_nowait(False)
        except AnswerError as error:
            problems[place] = str(error)
        finally:
            news.put_nowait(True)

    yield _columns(found, problems)
    tasks = [asyncio.create_task(follow(place)) for place in range(len(asked))]
    try:
        ended = 0
        while ended < len(asked):
            ended += await news.get()
            while not news.empty():
                ended += news.get_nowait()
            yield _columns(found, problems)
    finally:
        for task in tasks:
            task.cancel()


def _columns(found: Sequence[Answer | None], problems: Sequence[str]) -> list[str]:
    return [_column(*parts) for parts in zip(found, problems, bars(found), strict=True)]


def _column(answer: Answer | None, problem: str, drawn: str) -> str:
    reasoning = answer.reasoning if answer else ""
    text = escape(answer.text) if answer else "…"
    if answer and answer.done and not answer.text.strip():
        text = "<i>an empty answer</i>"
    thought = f"<details open><summary>Reasoning</summary><p>{escape(reasoning)}</p></details>" if reasoning else ""
    said = told(problem) if problem else f'<p class="answer">{text}</p>'
    return f'<div class="card">{thought}{said}{drawn}</div>'
