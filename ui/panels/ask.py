"""Ask: a clip, a question, an answer as it comes; several turns about one or more clips."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import gradio as gr
from anyio import to_thread

from coat_ray.audio import AudioError
from ui import sentences
from ui.conversation import Conversation, Turn
from ui.examples import Example, examples
from ui.models import AnswerError, Asked
from ui.page import PREFIX, Page, chosen, uploaded
from ui.plots.timings import line
from ui.sessions import Session
from ui.sound import LIMITS, Clip

MODES = [("Thinking block", "block"), ("No block", "plain"), ("Reasoning in text", "text_cot")]
WELCOME = (
    "### Ask about a sound\n"
    "Record or upload a clip, or take an example, and ask a question. The model first thinks in a *block*: one silent "
    "position per 40 ms of audio. What it holds there is drawn under **Inside the block**."
)


def ask_panel(page: Page, blocks: gr.Blocks) -> None:
    """Lay the panel out and wire it."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            clip = gr.Audio(label="Clip", type="filepath", sources=["upload", "microphone"], elem_id="ask-clip")
            gr.Markdown("Or begin with one of these:", elem_classes="hint")
            with gr.Row(elem_classes="examples"):
                buttons = [
                    (gr.Button(f"{e.title}: {e.question}", size="sm", elem_classes="example"), e) for e in examples()
                ]
            model = gr.Dropdown(["base"], value="base", label="Model", elem_id="ask-model")
            mode = gr.Radio(MODES, value="block", label="How it thinks", elem_id="ask-mode")
        with gr.Column(scale=3, min_width=320):
            chat = gr.Chatbot(
                label="Conversation",
                height=460,
                placeholder=WELCOME,
                buttons=["copy"],
                feedback_options=None,
                allow_tags=False,
                elem_id="ask-chat",
                show_label=False,
            )
            status = gr.HTML(elem_id="ask-status")
            with gr.Row(equal_height=True, elem_classes="asking"):
                question = gr.Textbox(
                    label="Question",
                    show_label=False,
                    placeholder="What do you want to know about the clip?",
                    scale=5,
                    elem_id="ask-question",
                    autofocus=True,
                    max_lines=4,
                )
                send = gr.Button("Ask", variant="primary", scale=1, min_width=80, elem_id="ask-send")
                stop = gr.Button("Stop", variant="stop", scale=1, min_width=80, visible=False, elem_id="ask-stop")
            with gr.Row(elem_classes="small-row"):
                retry = gr.Button("Retry", size="sm", elem_id="ask-retry")
                fresh = gr.Button("New conversation", size="sm", elem_id="ask-new")

    shown = [chat, question, status, send, stop]

    async def begin(text: str, path: str | None, name: str, how: str, request: gr.Request) -> AsyncIterator[Any]:
        session = page.session(request)
        conversation = session.conversation(request.session_hash)
        if not (text or "").strip():
            yield gr.skip(), gr.skip(), _told(sentences.EMPTY_QUESTION), gr.skip(), gr.skip()
            return
        try:
            heard = await to_thread.run_sync(uploaded, session, path) if path else None
        except (AudioError, PermissionError, OSError) as error:
            sentence = (
                sentences.about_clip(error, LIMITS.max_seconds) if isinstance(error, AudioError) else sentences.NO_CLIP
            )
            yield gr.skip(), gr.skip(), _told(sentence), gr.skip(), gr.skip()
            return
        known = conversation.clip
        conversation.turns.append(Turn(text.strip(), None if heard and known and heard.id == known.id else heard))
        async for update in _answered(page, session, conversation, name, how):
            yield update

    async def again(name: str, how: str, request: gr.Request) -> AsyncIterator[Any]:
        session = page.session(request)
        conversation = session.conversation(request.session_hash)
        if not conversation.turns:
            yield gr.skip(), gr.skip(), _told("There is nothing to ask again yet."), gr.skip(), gr.skip()
            return
        last = conversation.turns.pop()
        conversation.turns.append(Turn(last.question, last.clip))
        async for update in _answered(page, session, conversation, name, how):
            yield update

    def stopped(request: gr.Request) -> tuple[Any, ...]:
        conversation = page.session(request).conversation(request.session_hash)
        if conversation.turns and not conversation.turns[-1].answer.done:
            conversation.turns[-1].note = "Stopped."
        return conversation.shown(player), gr.skip(), "", gr.update(visible=True), gr.update(visible=False)

    def renewed(request: gr.Request) -> tuple[Any, ...]:
        page.session(request).conversations.pop(request.session_hash or "", None)
        return [], "", "", gr.update(visible=True), gr.update(visible=False)

    async def pickers(current: str, request: gr.Request) -> Any:
        names = await page.model_names(page.session(request))
        return gr.update(choices=names, value=chosen(current if current != "base" else None, names))

    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    asked = [question, clip, model, mode]
    events = [
        gr.on([question.submit, send.click], begin, asked, shown, **quiet),
        retry.click(again, [model, mode], shown, **quiet),
    ]
    stop.click(stopped, None, shown, cancels=events, **quiet)
    fresh.click(renewed, None, shown, cancels=events, **quiet)
    blocks.load(pickers, model, model, **quiet)
    model.focus(pickers, model, model, **quiet)
    for button, example in buttons:
        button.click(_taken(example), None, [clip, question], **quiet)


def player(clip: Clip) -> gr.HTML:
    """A clip within the conversation."""
    source = f"{PREFIX}/clips/{clip.id}"
    return gr.HTML(
        f'<audio controls preload="metadata" src="{source}" aria-label="the clip, {clip.seconds:.1f} s"></audio>'
    )


def _taken(example: Example) -> Any:
    return lambda: (str(example.path), example.question)


def _told(sentence: str) -> str:
    return f'<p class="told" role="status">{sentence}</p>'


async def _answered(
    page: Page, session: Session, conversation: Conversation, model: str, mode: str
) -> AsyncIterator[tuple[Any, ...]]:
    """The conversation's last question, asked; what the panel shows each time there is more."""
    turn = conversation.turns[-1]
    busy = (gr.update(visible=False), gr.update(visible=True))
    yield conversation.shown(player), "", "", *busy
    status = ""
    try:
        async for answer in page.models.ask(session.key, Asked(model, conversation.messages(), mode)):
            turn.answer = answer
            yield conversation.shown(player), gr.skip(), gr.skip(), *busy
        status = line(turn.answer)
    except AnswerError as error:
        turn.note = str(error)
    yield conversation.shown(player), gr.skip(), status, gr.update(visible=True), gr.update(visible=False)
