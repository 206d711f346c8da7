"""Inside the block: what each expert's head reads in it over time, and what changes without it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from html import escape
from typing import Any

import gradio as gr
from anyio import to_thread

from coat_ray.audio import AudioError
from ui import sentences
from ui.examples import examples
from ui.models import Answer, AnswerError, Asked, clip_part
from ui.page import PREFIX, Page, chosen, told, uploaded
from ui.plots.inside import figure
from ui.plots.reads import table
from ui.plots.timings import line
from ui.sessions import Session
from ui.sound import LIMITS, Clip

COLUMNS = 120
INTRO = (
    "Before it answers, a model trained with CoAT fills a **block** of silent positions, one per 40 ms of audio. Small "
    "heads, trained against frozen experts, can read what stands there: the sound itself, events, affect, pitch, speech."
)
NO_BLOCK = (
    "This model has no block: it is the bare base, or was trained without one. Choose a model that was trained with "
    "the block (arm <code>coat</code>); Experiments starts such a training."
)


def inside_panel(page: Page, blocks: gr.Blocks, tab: gr.Tab) -> None:
    """Lay the panel out and wire it."""
    gr.Markdown(INTRO, elem_classes="intro")
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            clip = gr.Audio(label="Clip (none: the last one from Ask)", type="filepath", elem_id="inside-clip")
            with gr.Row(elem_classes="examples"):
                buttons = [(gr.Button(each.title, size="sm", elem_classes="example"), each) for each in examples()]
        with gr.Column(scale=2, min_width=300):
            question = gr.Textbox(label="Question", value="describe the audio", elem_id="inside-question")
            model = gr.Dropdown(["base"], value="base", label="Model", elem_id="inside-model")
            teachers = gr.Checkbox(True, label="Set the teachers beside it", elem_id="inside-teachers")
            removed = gr.Checkbox(False, label="Remove the block and ask again", elem_id="inside-removed")
            look = gr.Button("Look inside", variant="primary", elem_id="inside-look")
    said = gr.HTML(elem_id="inside-said")
    plot = gr.Plot(show_label=False, container=False, elem_id="inside-plot", visible=False)

    async def looked(
        path: str | None, text: str, name: str, beside: bool, without: bool, request: gr.Request
    ) -> AsyncIterator[Any]:
        session = page.session(request)
        try:
            found = await _clip(session, path, request.session_hash)
            if not (text or "").strip():
                raise AnswerError(sentences.EMPTY_QUESTION)
            yield told("Listening …"), gr.skip()
            asked = Asked(name, _messages(found, text), thinking=COLUMNS, teachers=beside)
            answer = await _whole(page, session, asked)
            other = await _whole(page, session, Asked(name, _messages(found, text), "plain")) if without else None
        except (AudioError, OSError) as error:
            yield told(sentences.about_clip(error, LIMITS.max_seconds)), gr.skip()
            return
        except AnswerError as error:
            yield told(str(error)), gr.skip()
            return
        thinking, heard = answer.coat.get("thinking", {}), answer.coat.get("teachers", {})
        session.readings[request.session_hash or ""] = _export(name, text, found, answer, other)
        if not thinking:
            yield _said(found, answer, other, "", NO_BLOCK), gr.update(visible=False)
            return
        drawn = await to_thread.run_sync(figure, found, thinking, heard)
        tools = _tools(request.session_hash or "")
        yield _said(found, answer, other, tools, table(thinking, heard)), gr.update(value=drawn, visible=True)

    async def pickers(current: str, request: gr.Request) -> Any:
        names = await page.model_names(page.session(request))
        return gr.update(choices=names, value=chosen(current if current != "base" else None, names))

    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    gr.on([look.click, question.submit], looked, [clip, question, model, teachers, removed], [said, plot], **quiet)
    blocks.load(pickers, model, model, **quiet)
    tab.select(pickers, model, model, **quiet)
    for button, example in buttons:
        button.click(lambda e=example: (str(e.path), e.question), None, [clip, question], **quiet)


async def _clip(session: Session, path: str | None, tab: str | None) -> Clip:
    if path:
        return await to_thread.run_sync(uploaded, session, path)
    talked_about = session.conversation(tab).clip
    if talked_about is None:
        raise AnswerError(sentences.NO_CLIP)
    return session.keep(talked_about)


def _messages(clip: Clip, text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [clip_part(clip.wav), {"type": "text", "text": text.strip()}]}]


async def _whole(page: Page, session: Session, asked: Asked) -> Answer:
    answer = Answer()
    async for answer in page.models.ask(session.key, asked):
        pass
    return answer


def _said(clip: Clip, answer: Answer, other: Answer | None, tools: str, reads: str) -> str:
    player = f'<audio id="inside-player" controls preload="auto" src="{PREFIX}/clips/{clip.id}"></audio>'
    cards = [_card("With the block" if answer.coat.get("thinking") else "Answer", answer)]
    if other is not None:
        same = "the same answer" if other.text.strip() == answer.text.strip() else "another answer"
        cards.append(_card(f"Without the block: {same}", other))
    row = f'<div class="cards">{"".join(cards)}</div>'
    return f'<div class="said"><div class="playing">{player}{tools}</div>{row}{reads}</div>'


def _card(title: str, answer: Answer) -> str:
    text = escape(answer.text) or "<i>an empty answer</i>"
    return f'<div class="card"><h4>{escape(title)}</h4><p class="answer">{text}</p>{line(answer)}</div>'


def _tools(tab: str) -> str:
    return (
        '<span class="tools"><button type="button" class="quiet" onclick="coatPicture()">Save PNG</button>'
        f'<a class="quiet" href="{PREFIX}/export/{tab}" download>Save JSON</a></span>'
    )


def _export(model: str, question: str, clip: Clip, answer: Answer, other: Answer | None) -> dict[str, Any]:
    facts = {"model": model, "question": question, "clip": {"name": clip.name, "seconds": round(clip.seconds, 3)}}
    without = {} if other is None else {"answer_without_block": other.text}
    return {**facts, "answer": answer.text, **without, **answer.coat, "usage": answer.usage}
