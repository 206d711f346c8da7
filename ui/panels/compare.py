"""Compare: one clip and question, asked in three ways at once, with where the time went."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from html import escape
from typing import Any

import gradio as gr
from anyio import to_thread

from coat_ray.audio import AudioError
from ui import sentences
from ui.examples import examples
from ui.models import Answer, AnswerError, Asked, clip_part
from ui.page import MODES, Page, chosen, told, uploaded
from ui.plots.bars import bars
from ui.sessions import Session
from ui.sound import LIMITS

WAYS = ("plain", "block", "text_cot")
"""How the columns think at first: vanilla, CoAT, and its rival that reasons in text."""

INTRO = (
    "One question, three ways to think about it. The **block** costs one longer prefill and no decoded token; "
    "**reasoning in text** decodes every thought before the answer."
)


def compare_panel(page: Page, blocks: gr.Blocks, tab: gr.Tab) -> None:
    """Lay the panel out and wire it."""
    gr.Markdown(INTRO, elem_classes="intro")
    with gr.Row(equal_height=False):
        with gr.Column(scale=1, min_width=300):
            clip = gr.Audio(label="Clip (none: the last one from Ask)", type="filepath", elem_id="compare-clip")
        with gr.Column(scale=1, min_width=300):
            with gr.Row(elem_classes="examples"):
                buttons = [(gr.Button(each.title, size="sm", elem_classes="example"), each) for each in examples()]
            question = gr.Textbox(label="Question", value="describe the audio", elem_id="compare-question")
            ask = gr.Button("Compare", variant="primary", elem_id="compare-ask")
    problem = gr.HTML(elem_classes="plain")
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
            messages = await _messages(session, path, text, request.session_hash)
        except (AudioError, OSError) as error:
            yield told(sentences.about_clip(error, LIMITS.max_seconds)), *[gr.skip()] * len(WAYS)
            return
        except AnswerError as error:
            yield told(str(error)), *[gr.skip()] * len(WAYS)
            return
        pairs = zip(ways[: len(WAYS)], ways[len(WAYS) :], strict=True)
        async for shown in _side_by_side(page, session, [Asked(model, messages, mode) for model, mode in pairs]):
            yield "", *shown

    async def pickers(request: gr.Request, *current: str) -> Any:
        names = await page.model_names(page.session(request))
        return [gr.update(choices=names, value=chosen(c if c != "base" else None, names)) for c in current]

    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    inputs, outputs = [clip, question, *models, *modes], [problem, *answers]
    gr.on([ask.click, question.submit], compared, inputs, outputs, **quiet)
    blocks.load(pickers, models, models, **quiet)
    tab.select(pickers, models, models, **quiet)
    for button, example in buttons:
        button.click(lambda e=example: (str(e.path), e.question), None, [clip, question], **quiet)


async def _messages(session: Session, path: str | None, text: str, tab: str | None) -> list[dict[str, Any]]:
    if not (text or "").strip():
        raise AnswerError(sentences.EMPTY_QUESTION)
    talked_about = session.conversation(tab).clip
    if path:
        talked_about = await to_thread.run_sync(uploaded, session, path)
    clip = [clip_part(talked_about.wav)] if talked_about else []
    return [{"role": "user", "content": [*clip, {"type": "text", "text": text.strip()}]}]


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
    async with asyncio.TaskGroup() as group:
        for place in range(len(asked)):
            group.create_task(follow(place))
        ended = 0
        while ended < len(asked):
            ended += await news.get()
            while not news.empty():
                ended += news.get_nowait()
            yield _columns(found, problems)


def _columns(found: Sequence[Answer | None], problems: Sequence[str]) -> list[str]:
    drawn = bars(found)
    return [_column(*parts) for parts in zip(found, problems, drawn, strict=True)]


def _column(answer: Answer | None, problem: str, drawn: str) -> str:
    reasoning = answer.reasoning if answer else ""
    text = escape(answer.text) if answer else "…"
    if answer and answer.done and not answer.text:
        text = "<i>an empty answer</i>"
    thought = (
        f"<details open><summary>Reasoning in text</summary><p>{escape(reasoning)}</p></details>" if reasoning else ""
    )
    return f'<div class="card">{thought}<p class="answer">{text}</p>{told(problem) if problem else ""}{drawn}</div>'
