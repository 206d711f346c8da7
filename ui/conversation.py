"""What was said in one browser tab, and how it is sent to a model and shown."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from typing import Any

from ui.models import Answer, clip_part
from ui.sound import Clip

MOST_TURNS = 20
"""Older turns are shown and not sent any more."""


@dataclass
class Turn:
    """A question, the clip that came with it, and the answer. ``note``: why there is none, or no whole one."""

    question: str
    clip: Clip | None = None
    answer: Answer = field(default_factory=Answer)
    note: str = ""


@dataclass
class Conversation:
    """Turns in order; a clip is sent with the turn that brought it, so that later questions are about it too."""

    turns: list[Turn] = field(default_factory=list)

    @property
    def clip(self) -> Clip | None:
        """The clip that was talked about last."""
        return next((turn.clip for turn in reversed(self.turns) if turn.clip), None)

    def messages(self) -> list[dict[str, Any]]:
        """In OpenAI's shape, up to the last question; turns without an answer are left out."""
        answered = [turn for turn in self.turns[:-1] if turn.answer.text][-MOST_TURNS:]
        found: list[dict[str, Any]] = []
        for turn in [*answered, self.turns[-1]]:
            parts = [clip_part(turn.clip.wav)] if turn.clip else []
            found.append({"role": "user", "content": [*parts, {"type": "text", "text": turn.question}]})
            if turn is not self.turns[-1]:
                found.append({"role": "assistant", "content": turn.answer.text})
        return found

    def shown(self, player: Any) -> list[dict[str, Any]]:
        """As Gradio's chatbot shows it; *player* makes the component that plays a clip."""
        found: list[dict[str, Any]] = []
        for turn in self.turns:
            if turn.clip:
                found.append({"role": "user", "content": player(turn.clip)})
            found.append({"role": "user", "content": html.escape(turn.question, quote=False)})
            answer = turn.answer
            if answer.reasoning:
                title = {"title": "Reasoning in text", "status": "done" if answer.text or answer.done else "pending"}
                found.append({"role": "assistant", "content": answer.reasoning, "metadata": title})
            if answer.text or turn.note or answer.done:
                said = html.escape(answer.text, quote=False) or ("" if turn.note else "*(an empty answer)*")
                note = f"*{turn.note}*" if turn.note else ""
                found.append({"role": "assistant", "content": "\n\n".join(filter(None, (said, note)))})
        return found
