"""Ask: a clip, a question, an answer as it comes; several turns about one or more clips."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import gradio as gr
from anyio import to_thread

from coat_ray.audio import AudioError
from ui import sentences
from ui.conversation import Conversation, Turn
from ui.examples import Example, examples
from ui.models import AnswerError, Asked, Coming
from ui.page import MODES, PREFIX, QUIET, Page, told, uploaded
from ui.plots.timings import line
from ui.sound import LIMITS, Clip

WELCOME = (
    "### Ask about a sound\n"
    "Record or upload a clip, or take an example, and ask a question. The model first thinks in a *block*: one silent "
    "position per 40 ms of audio. What it holds there is drawn under **Inside the block**."
)
SAME: Any = (gr.skip(), gr.skip())
IDLE: Any = (gr.update(visible=True), gr.update(visible=False))
BUSY: Any = (gr.update(visible=False), gr.update(visible=True))
"""What becomes of the buttons Ask and Stop."""


class Parts(NamedTuple):
    """The components of the panel."""

    clip: gr.Audio
    examples: list[tuple[gr.Button, Example]]
    model: gr.Dropdown
    mode: gr.Radio
    chat: gr.Chatbot
    status: gr.HTML
    question: gr.Textbox
    send: gr.Button
    stop: gr.Button
    retry: gr.Button
    fresh: gr.Button


def ask_panel(page: Page, blocks: gr.Blocks, tab: gr.Tab) -> None:
    """Lay the panel out and wire it."""
    parts, asking = _laid_out(), _Asking(page)
    shown = [parts.chat, parts.question, parts.status, parts.send, parts.stop]
    ways = [parts.model, parts.mode]
    asked = [parts.question, parts.clip, *ways]
    gr.on([parts.question.submit, parts.send.click], asking.begin, asked, shown, **QUIET)
    parts.retry.click(asking.again, ways, shown, **QUIET)
    parts.stop.click(asking.stop, None, None, **QUIET)
    gr.on([parts.fresh.click, parts.chat.clear], asking.begin_anew, None, shown, **QUIET)
    page.keep_current([parts.model], blocks, tab)
    for button, example in parts.examples:
        button.click(_taken(example), None, [parts.clip, parts.question], **QUIET)


def player(clip: Clip) -> gr.HTML:
    """A clip within the conversation."""
    source, label = f"{PREFIX}/clips/{clip.id}", f"the clip, {clip.seconds:.1f} s"
    return gr.HTML(f'<audio controls preload="metadata" src="{source}" aria-label="{label}"></audio>')


def _laid_out() -> Parts:
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            clip = gr.Audio(label="Clip", type="filepath", buttons=[], elem_id="ask-clip")
            gr.Markdown("Or begin with one of these:", elem_classes="hint")
            with gr.Row(elem_classes="examples"):
                buttons = [(_example_button(example), example) for example in examples()]
            model = gr.Dropdown(["base"], value="base", label="Model", elem_id="ask-model")
            mode = gr.Radio(MODES, value="block", label="How it thinks", elem_id="ask-mode")
        with gr.Column(scale=3, min_width=320):
            chat = gr.Chatbot(
                height=500, placeholder=WELCOME, buttons=["copy"], feedback_options=None, allow_tags=False,
                elem_id="ask-chat", show_label=False, label="Conversation",
            )  # fmt: skip
            status = gr.HTML(elem_id="ask-status", elem_classes="plain")
            with gr.Row(equal_height=True, elem_classes="asking"):
                question = gr.Textbox(
                    label="Question", show_label=False, placeholder="What do you want to know about the clip?",
                    scale=5, elem_id="ask-question", autofocus=True, max_lines=4,
                )  # fmt: skip
                send = gr.Button("Ask", variant="primary", scale=1, min_width=80, elem_id="ask-send")
                stop = gr.Button("Stop", variant="stop", scale=1, min_width=80, visible=False, elem_id="ask-stop")
            with gr.Row(elem_classes="small-row"):
                retry = gr.Button("Retry", size="sm", elem_id="ask-retry")
                fresh = gr.Button("New conversation", size="sm", elem_id="ask-new")
    return Parts(clip, buttons, model, mode, chat, status, question, send, stop, retry, fresh)


class _Asking:
    """The events of the panel. Each gives the conversation, the question's field, the status and the two buttons."""

    def __init__(self, page: Page) -> None:
        self._page = page

    async def begin(
        self, request: gr.Request, text: str, path: str | None, model: str, mode: str
    ) -> AsyncIterator[tuple[Any, ...]]:
        """Ask a new question, about the clip in the panel or the one that was talked about."""
        session = self._page.session(request)
        conversation = session.conversation(request.session_hash)
        if not (text or "").strip():
            yield *SAME, told(sentences.EMPTY_QUESTION), *SAME
            return
        try:
            heard = await to_thread.run_sync(uploaded, session, path) if path else None
        except (AudioError, OSError) as error:
            yield *SAME, told(sentences.about_clip(error, LIMITS.max_seconds)), *SAME
            return
        known = conversation.clip
        conversation.begin(Turn(text.strip(), None if heard and known and heard.id == known.id else heard))
        async for update in self._answered(request, conversation, model, mode):
            yield update

    async def again(self, request: gr.Request, model: str, mode: str) -> AsyncIterator[tuple[Any, ...]]:
        """Ask the last question once more."""
        session = self._page.session(request)
        conversation = session.conversation(request.session_hash)
        if not conversation.turns:
            yield *SAME, told("There is nothing to ask again yet."), *SAME
            return
        conversation.again()
        async for update in self._answered(request, conversation, model, mode):
            yield update

    async def stop(self, request: gr.Request) -> None:
        """End the answer that comes; what came so far stays."""
        self._page.session(request).conversation(request.session_hash).stop()

    async def begin_anew(self, request: gr.Request) -> tuple[Any, ...]:
        """Forget the conversation of this tab."""
        await self.stop(request)
        self._page.session(request).conversations.pop(request.session_hash or "", None)
        return [], "", "", *IDLE

    async def _answered(
        self, request: gr.Request, conversation: Conversation, model: str, mode: str
    ) -> AsyncIterator[tuple[Any, ...]]:
        """The conversation's last question, asked; what the panel shows each time there is more."""
        session, turn, status = self._page.session(request), conversation.turns[-1], ""

        def newest() -> bool:
            """Whether the panel still shows this question; none has begun after it, and no other conversation."""
            return session.conversation(request.session_hash) is conversation and conversation.turns[-1] is turn

        answers = self._page.models.ask(session.key, Asked(model, conversation.messages(), mode))
        coming = Coming(answers, turn.stopped)
        yield conversation.shown(player), "", "", *BUSY
        try:
            async for answer in coming.newest():
                turn.answer = answer
                if newest():
                    yield conversation.shown(player), gr.skip(), gr.skip(), *BUSY
            status = line(turn.answer)
        except AnswerError as error:
            turn.note = str(error)
        if turn.stopped.is_set():
            turn.note = sentences.STOPPED
        if newest():
            yield conversation.shown(player), gr.skip(), status, *IDLE


def _taken(example: Example) -> Any:
    return lambda: (str(example.path), example.question)


def _example_button(example: Example) -> gr.Button:
    return gr.Button(f"{example.title}: {example.question}", size="sm", elem_classes="example")
