"""What every panel of the page works with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr
from anyio import to_thread

from coat_ray.client import Client
from ui import sentences
from ui.examples import FOLDER
from ui.models import AnswerError, Models, clip_part
from ui.sessions import COOKIE, Session, Sessions
from ui.sound import Clip

PREFIX = "/ui"
MODES = [("Block", "block"), ("No block", "plain"), ("Text reasoning", "text_cot")]
"""How a model may think, for visitors and for the API."""

BARE = "base"
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
"""Of every event: no veil over what it changes, and no route of its own for programs, which have the APIs."""


@dataclass(frozen=True)
class Page:
    """Where the platform and the models are, and who is signed in."""

    platform: str
    models: Models
    sessions: Sessions = field(default_factory=Sessions)

    def session(self, request: gr.Request) -> Session:
        """Whose event this is.

        Raises:
            gr.Error: nobody's any more; the page says so.
        """
        found = self.sessions.find(request.cookies.get(COOKIE))
        if found is None:
            raise gr.Error(sentences.GONE, print_exception=False)
        return found

    def client(self, key: str) -> Client:
        """The platform's API, asked with a key."""
        return Client.open(self.platform, key)

    def keep_current(self, pickers: list[gr.Dropdown], blocks: gr.Blocks, tab: gr.Tab, bare: int = 0) -> None:
        """Let pickers of models show what the key may ask, now and each time that their tab is opened.

        The first *bare* of them begin with the bare base, the others with the newest model.
        """

        async def listed(request: gr.Request, *current: str) -> Any:
            try:
                names = [model["id"] for model in await self.models.listed(self.session(request).key)]
            except AnswerError:
                return [gr.skip()] * len(pickers) if len(pickers) > 1 else gr.skip()
            shown = [
                gr.update(choices=names, value=_chosen(name, names, bare=place < bare))
                for place, name in enumerate(current)
            ]
            return shown if len(shown) > 1 else shown[0]

        gr.on([blocks.load, tab.select], listed, list(pickers), list(pickers), **QUIET)


def uploaded(session: Session, path: str) -> Clip:
    """The clip in a file that this visitor uploaded, or in one of the page's own examples; kept for later.

    Raises:
        AudioError: it cannot be used.
        PermissionError: the file is somebody else's.
    """
    if path not in session.files and not Path(path).resolve().is_relative_to(FOLDER):
        raise PermissionError(sentences.NO_CLIP)
    return session.keep(Clip.read(path))


async def clip_of(session: Session, path: str | None, tab: str | None) -> Clip | None:
    """The clip in a panel, else the one that was talked about last in this tab; raises as :func:`uploaded`."""
    if path:
        return await to_thread.run_sync(uploaded, session, path)
    talked_about = session.conversation(tab).clip
    return session.keep(talked_about) if talked_about else None


def one_turn(clip: Clip | None, question: str) -> list[dict[str, Any]]:
    """A conversation of one question.

    Raises:
        AnswerError: there is none.
    """
    if not (question or "").strip():
        raise AnswerError(sentences.EMPTY_QUESTION)
    parts = [clip_part(clip.wav)] if clip else []
    return [{"role": "user", "content": [*parts, {"type": "text", "text": question.strip()}]}]


def told(sentence: str) -> str:
    """A sentence for the visitor, where an answer would stand."""
    return f'<p class="told" role="status">{sentence}</p>'


def good(sentence: str) -> str:
    """The same where something went as wanted."""
    return f'<p class="good" role="status">{sentence}</p>'


def _chosen(current: str, names: Sequence[str], *, bare: bool) -> str:
    """What a picker shows: what it shows now, else the newest model. The bare base is kept only where it is meant."""
    if current in names and (bare or current != BARE):
        return current
    return names[0] if bare or len(names) == 1 else names[1]
