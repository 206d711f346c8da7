"""What every panel of the page works with."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import gradio as gr

from coat_ray.client import Client
from ui import sentences
from ui.examples import FOLDER
from ui.models import AnswerError, Models
from ui.sessions import COOKIE, Session, Sessions
from ui.sound import Clip

PREFIX = "/ui"


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
            raise gr.Error("You are signed out. Reload the page to sign in again.", print_exception=False)
        return found

    def client(self, key: str) -> Client:
        """The platform's API, asked with a key."""
        return Client.open(self.platform, key)

    async def model_names(self, session: Session) -> list[str]:
        """What the visitor's key may ask; only the bare base where the models do not answer."""
        try:
            return [model["id"] for model in await self.models.listed(session.key)]
        except AnswerError:
            return ["base"]


def uploaded(session: Session, path: str) -> Clip:
    """The clip in a file that this visitor uploaded, or in one of the page's own examples; kept for later.

    Raises:
        AudioError: it cannot be used.
        PermissionError: the file is somebody else's.
    """
    if path not in session.files and not Path(path).resolve().is_relative_to(FOLDER):
        raise PermissionError(sentences.NO_CLIP)
    return session.keep(Clip.read(path))


def chosen(current: str | None, names: list[str], preferred: str | None = None) -> str:
    """Which of *names* a picker shows: what it shows now, else what is preferred, else the newest model."""
    for name in (current, preferred):
        if name in names:
            return str(name)
    return names[1] if len(names) > 1 else names[0]
